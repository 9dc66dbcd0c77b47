//! `tmtpctl member`: members of a site, through the admin API. A member is named by uid or by alias.

use anyhow::Context as _;
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
        /// Only what was not seen since then, as in 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        seen_before: Option<String>,
        /// Only what was seen then or later
        #[arg(long, value_name = "TIME")]
        seen_since: Option<String>,
        /// So many at most
        #[arg(long, default_value_t = 1_000)]
        most: usize,
    },
    /// Show a member
    Show(One),
    /// Show the devices of a member
    Devices(One),
    /// Act on a device of a member
    #[command(subcommand)]
    Device(Device),
    /// Let a member only receive, and send nothing: no posts, pings and invitations
    ReceiveOnly {
        #[command(flatten)]
        one: One,
        /// Let it send again
        #[arg(long)]
        off: bool,
    },
    /// Say that a member is out of office: who writes to it is told so, once a day
    Away {
        #[command(flatten)]
        one: One,
        /// What they are told
        #[arg(long)]
        text: String,
        /// When it is there again, as in 2027-01-01T00:00:00Z; without: until `back`
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Who gets copies of what is posted to it by name: a uid, or an alias
        #[arg(long, value_name = "MEMBER")]
        delegate: Option<String>,
    },
    /// Say that a member is there again
    Back(One),
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

/// What can be done about a device.
#[derive(Debug, Subcommand)]
enum Device {
    /// Close its session; it may log in again at once
    Disconnect(Which),
    /// Drop what waits for it, and close its session
    DropQueue(Which),
    /// End it for good: what waits for it is dropped, and its password opens nothing any longer
    Revoke(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    #[command(flatten)]
    one: One,
    /// The device's number, as `member devices` shows it
    num: u16,
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
            Act::List { site, status, external_id, search, seen_before, seen_since, most } => {
                let filters = [
                    ("status", status),
                    ("external_id", external_id),
                    ("q", search),
                    ("seen_before", seen_before),
                    ("seen_since", seen_since),
                ];
                let query: Vec<_> =
                    filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
                let list = format!("{}/members", path(&api, &site).await?);
                self.access.show_all(COLUMNS, api.list(&list, &query, most).await?);
                return Ok(());
            }
            Act::Show(one) => api.get(&place(&api, &one).await?, &[]).await?,
            Act::Devices(one) => {
                let devices = format!("{}/devices", place(&api, &one).await?);
                let devices = api.list(&devices, &[], usize::MAX).await?;
                self.access.show_all(DEVICES, devices);
                return Ok(());
            }
            Act::Device(act) => device(&api, act).await?,
            Act::ReceiveOnly { one, off } => rule(&api, &one, json!({ "receive_only": !off })).await?,
            Act::Away { one, text, until, delegate } => {
                let delegate = match delegate {
                    Some(member) => Some(uid(&api, &one.site, &member).await?),
                    None => None,
                };
                let away = given(json!({ "text": text, "until": until, "delegate": delegate }));
                rule(&api, &one, json!({ "away": away })).await?
            }
            Act::Back(one) => rule(&api, &one, json!({ "away": null })).await?,
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

/// Changes what a member may do.
async fn rule(api: &Api, one: &One, change: Value) -> anyhow::Result<Value> {
    api.patch(&format!("{}/rules", place(api, one).await?), &change).await
}

/// Acts on a device, and says what has come of it.
async fn device(api: &Api, act: Device) -> anyhow::Result<Value> {
    let (Device::Disconnect(which) | Device::DropQueue(which) | Device::Revoke(which)) = &act;
    let num = which.num;
    let place = format!("{}/devices/{num}", place(api, &which.one).await?);
    let done = match act {
        Device::Disconnect(_) => return api.post(&format!("{place}/disconnect"), &json!({})).await,
        Device::DropQueue(_) => {
            api.post(&format!("{place}/drop-queue"), &json!({})).await?;
            "dropped"
        }
        Device::Revoke(_) => {
            api.delete(&place).await?;
            "revoked"
        }
    };
    Ok(json!({ "num": num, (done): true }))
}

/// Where a member is in the API.
async fn place(api: &Api, one: &One) -> anyhow::Result<String> {
    let uid = uid(api, &one.site, &one.member).await?;
    Ok(format!("{}/members/{}", path(api, &one.site).await?, segment(&uid)))
}

/// The uid of a member who is named by it or by an alias.
async fn uid(api: &Api, site: &str, member: &str) -> anyhow::Result<String> {
    if let Ok(uid) = Uid::parse(member) {
        return Ok(uid.to_string());
    }
    let members = format!("{}/members", path(api, site).await?);
    let found = api.list(&members, &[("alias", member.to_owned())], 1).await?;
    let found = found.first().and_then(|member| member["uid"].as_str());
    let found = found
        .with_context(|| format!("no member has the alias {member}; `tmtpctl member list` shows them"))?;
    Ok(found.to_owned())
}
