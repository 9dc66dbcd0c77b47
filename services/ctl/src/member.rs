//! `tmtpctl member`: members of a site, through the admin API. A member is named by uid or by alias.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use tmtp_domain::Uid;

use crate::api::{Access, Api, segment};
use crate::site::{given, path};
use crate::table::Column;

const COLUMNS: &[Column] = &[
    ("UID", "/uid"),
    ("STATUS", "/status"),
    ("ALIASES", "/aliases"),
    ("EXTERNAL ID", "/external_id"),
    ("DEVICES", "/devices"),
    ("LAST SEEN", "/last_seen_at"),
];
const DEVICES: &[Column] = &[
    ("NUM", "/num"),
    ("LABEL", "/label"),
    ("ONLINE", "/online"),
    ("LAST SEEN", "/last_seen_at"),
    ("QUEUED", "/queued"),
    ("OLDEST", "/oldest_queued_at"),
    ("REVOKED", "/revoked_at"),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Member {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List members, the newest first
    List {
        /// The site: its id, or one of its host names
        site: String,
        /// Only in this state
        #[arg(long, value_name = "active|suspended|deactivated|pending")]
        status: Option<String>,
        /// Only what your own system calls so
        #[arg(long)]
        external_id: Option<String>,
        /// Only with this in an alias or in the external id
        #[arg(long)]
        search: Option<String>,
        /// So many at most
        #[arg(long, default_value_t = 1_000)]
        most: usize,
    },
    /// Show a member
    Show(One),
    /// Show the devices of a member
    Devices(One),
    /// Say what your own system calls a member
    Set {
        #[command(flatten)]
        one: One,
        /// It; an empty one for nothing
        #[arg(long)]
        external_id: String,
    },
    /// Keep a member out; messages to it wait
    Suspend {
        #[command(flatten)]
        one: One,
        /// Why, for admins
        #[arg(long)]
        reason: String,
        /// What its clients are told
        #[arg(long)]
        notice: Option<String>,
        /// When it ends by itself, as in 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Let a member in again
    Resume(One),
    /// Keep a member out for good; it receives nothing, and keeps its aliases
    Deactivate(One),
    /// Let a member in that waits for approval
    Approve(One),
    /// Turn a member away that waits for approval
    Deny(One),
    /// Erase a member with all that it has, and print a report
    Erase {
        #[command(flatten)]
        one: One,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, clap::Args)]
struct One {
    /// The site: its id, or one of its host names
    site: String,
    /// The member: its uid, or one of its aliases
    member: String,
}

impl Member {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let api = self.access.open()?;
        let act = async |one: &One, what: &str, body: Value| -> anyhow::Result<Value> {
            api.post(&format!("{}/{what}", place(&api, one).await?), &given(body)).await
        };
        let answer = match self.act {
            Act::List { site, status, external_id, search, most } => {
                let filters = [("status", status), ("external_id", external_id), ("q", search)];
                let query: Vec<_> =
                    filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
                let list = format!("{}/members", path(&api, &site).await?);
                self.access.show_all(COLUMNS, api.list(&list, &query, most).await?);
                return Ok(());
            }
            Act::Show(one) => api.get(&place(&api, &one).await?, &[]).await?,
            Act::Devices(one) => {
                let mut answer = api.get(&format!("{}/devices", place(&api, &one).await?), &[]).await?;
                let Value::Array(devices) = answer["data"].take() else { bail!("the API showed no list") };
                self.access.show_all(DEVICES, devices);
                return Ok(());
            }
            Act::Set { one, external_id } => {
                let external_id = Some(external_id).filter(|id| !id.is_empty());
                api.patch(&place(&api, &one).await?, &json!({ "external_id": external_id })).await?
            }
            Act::Suspend { one, reason, notice, until } => {
                act(&one, "suspend", json!({ "reason": reason, "notice": notice, "until": until })).await?
            }
            Act::Resume(one) => act(&one, "resume", json!({})).await?,
            Act::Deactivate(one) => act(&one, "deactivate", json!({})).await?,
            Act::Approve(one) => act(&one, "approve", json!({})).await?,
            Act::Deny(one) => act(&one, "deny", json!({})).await?,
            Act::Erase { one, dry_run } => {
                let tried = if dry_run { "?dry_run=true" } else { "" };
                let answer = api.delete(&format!("{}{tried}", place(&api, &one).await?)).await?;
                if dry_run { answer } else { api.wait(&answer).await? }
            }
        };
        self.access.show_one(&answer);
        Ok(())
    }
}

/// Where a member is in the API.
async fn place(api: &Api, one: &One) -> anyhow::Result<String> {
    let members = format!("{}/members", path(api, &one.site).await?);
    let uid = if let Ok(uid) = Uid::parse(&one.member) {
        uid.to_string()
    } else {
        let found = api.list(&members, &[("alias", one.member.clone())], 1).await?;
        let found = found.first().and_then(|member| member["uid"].as_str());
        found
            .with_context(|| {
                format!("no member has the alias {}; `tmtpctl member list` shows them", one.member)
            })?
            .to_owned()
    };
    Ok(format!("{members}/{}", segment(&uid)))
}
