//! `tmtpctl invite`: who may join a site, through the admin API. Codes are printed once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::json;

use crate::api::Access;
use crate::site::{given, path};
use crate::table::Column;

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("STATE", "/state"),
    ("ALIAS", "/alias"),
    ("FOR", "/external_id"),
    ("ALLOWED", "/uses_allowed"),
    ("PENDING", "/uses_pending"),
    ("COMPLETED", "/uses_completed"),
    ("EXPIRES", "/expires_at"),
];
const ROWS: &[Column] = &[
    ("ROW", "/row"),
    ("OK", "/ok"),
    ("ID", "/id"),
    ("CODE", "/code"),
    ("LINK", "/link"),
    ("FIELD", "/param"),
    ("ERROR", "/error"),
];
const JOINED: &[Column] = &[("UID", "/uid"), ("STATE", "/state"), ("AT", "/at")];

#[derive(Debug, clap::Args)]
pub(crate) struct Invite {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List invites, the newest first
    List {
        /// The site: its id, or one of its host names
        site: String,
        /// Only in this state
        #[arg(long, value_name = "pending|active|used|expired|revoked")]
        state: Option<String>,
        /// Only for this person of your own system
        #[arg(long)]
        external_id: Option<String>,
        /// So many at most
        #[arg(long, default_value_t = 1_000)]
        most: usize,
    },
    /// Make an invite, and print its code and link
    Create(New),
    /// Make many, of a file with JSON (an array) or CSV, and print what became of each row
    Bulk {
        /// The site: its id, or one of its host names
        site: String,
        /// The file; its name ends with .json or .csv
        file: PathBuf,
        /// Only say what would come of it
        #[arg(long)]
        dry_run: bool,
    },
    /// Show an invite
    Show(One),
    /// Show who joined with an invite
    Joined(One),
    /// Give an invite a new code, and print it; the old one is no longer good
    Resend {
        #[command(flatten)]
        one: One,
        /// When it ends from now on, as in 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// End an invite at once; who has joined, stays
    Revoke(One),
}

#[derive(Debug, clap::Args)]
struct One {
    /// The site: its id, or one of its host names
    site: String,
    /// The invite's id
    invite: String,
}

#[derive(Debug, clap::Args)]
struct New {
    /// The site: its id, or one of its host names
    site: String,
    /// The alias that whoever joins gets
    #[arg(long)]
    alias: Option<String>,
    /// Who it is for, in your own system
    #[arg(long)]
    external_id: Option<String>,
    /// A group that whoever joins becomes a member of; may be given several times
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// What whoever joins is to be, in your own words
    #[arg(long)]
    role: Option<String>,
    /// For the site's admins
    #[arg(long)]
    note: Option<String>,
    /// How many may join with it
    #[arg(long)]
    max_uses: Option<u32>,
    /// Whoever joins has to wait for approval
    #[arg(long)]
    requires_approval: bool,
    /// When it ends by itself, as in 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

impl Invite {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let api = self.access.open()?;
        let of = async |one: &One| -> anyhow::Result<String> {
            Ok(format!("{}/invites/{}", path(&api, &one.site).await?, one.invite))
        };
        let answer = match self.act {
            Act::List { site, state, external_id, most } => {
                let filters = [("state", state), ("external_id", external_id)];
                let query: Vec<_> =
                    filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
                let place = format!("{}/invites", path(&api, &site).await?);
                self.access.show_all(COLUMNS, api.list(&place, &query, most).await?);
                return Ok(());
            }
            Act::Create(new) => {
                let place = format!("{}/invites", path(&api, &new.site).await?);
                let body = given(json!({
                    "alias": new.alias, "external_id": new.external_id, "groups": new.groups, "role": new.role,
                    "note": new.note, "max_uses": new.max_uses, "requires_approval": new.requires_approval,
                    "expires_at": new.expires_at,
                }));
                let mut made = api.post(&place, &body).await?;
                // Octets that nobody reads in a terminal.
                if !self.access.json
                    && let Some(fields) = made.as_object_mut()
                {
                    fields.remove("qr_svg");
                }
                made
            }
            Act::Bulk { site, file, dry_run } => {
                let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
                let tried = if dry_run { "?dry_run=true" } else { "" };
                let place = format!("{}/invites/bulk{tried}", path(&api, &site).await?);
                let answer = api.post_text(&place, kind(&file)?, text).await?;
                let result = if dry_run { answer } else { api.wait(&answer).await? };
                if self.access.json {
                    println!("{result}");
                } else {
                    self.access.show_all(ROWS, result["rows"].as_array().cloned().unwrap_or_default());
                }
                return Ok(());
            }
            Act::Show(one) => api.get(&of(&one).await?, &[]).await?,
            Act::Joined(one) => {
                let joined = api.list(&format!("{}/joined", of(&one).await?), &[], usize::MAX).await?;
                self.access.show_all(JOINED, joined);
                return Ok(());
            }
            Act::Resend { one, expires_at } => {
                let body = given(json!({ "expires_at": expires_at }));
                api.post(&format!("{}/resend", of(&one).await?), &body).await?
            }
            Act::Revoke(one) => {
                api.delete(&of(&one).await?).await?;
                if !self.access.json {
                    println!("{} is revoked", one.invite);
                    return Ok(());
                }
                api.get(&of(&one).await?, &[]).await?
            }
        };
        self.access.show_one(&answer);
        Ok(())
    }
}

fn kind(file: &Path) -> anyhow::Result<&'static str> {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("json") => Ok("application/json"),
        Some("csv") => Ok("text/csv"),
        _ => bail!("{}: its name has to end with .json or .csv", file.display()),
    }
}
