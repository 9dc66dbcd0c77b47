//! `tmtpctl site`: sites, through the admin API.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::api::{Access, Api};
use crate::table::{self, Column};

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("STATUS", "/status"),
    ("KIND", "/kind"),
    ("REGISTRATION", "/registration"),
    ("HOST NAMES", "/domains"),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Site {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List sites, the newest first
    List {
        /// Only in this state
        #[arg(long, value_name = "active|suspended|deleted")]
        status: Option<String>,
        /// Only of this kind
        #[arg(long, value_name = "live|sandbox")]
        kind: Option<String>,
        /// Only with this in the name or a host name
        #[arg(long)]
        search: Option<String>,
        /// So many at most
        #[arg(long, default_value_t = 1_000)]
        most: usize,
    },
    /// Make a site
    Create {
        /// What clients show
        #[arg(long)]
        name: String,
        /// Host name under which clients reach the site; may be given several times
        #[arg(long = "domain", value_name = "HOST", required = true)]
        domains: Vec<String>,
        /// Who may register
        #[arg(long, value_name = "open|closed|invite|oidc|approval")]
        registration: Option<String>,
        /// What it is for
        #[arg(long, value_name = "live|sandbox")]
        kind: Option<String>,
    },
    /// Show a site
    Show {
        /// Its id, or one of its host names
        site: String,
    },
    /// Change a site
    Set {
        /// Its id, or one of its host names
        site: String,
        /// What clients show
        #[arg(long)]
        name: Option<String>,
        /// Who may register
        #[arg(long, value_name = "open|closed|invite|oidc|approval")]
        registration: Option<String>,
    },
    /// Stop serving a site; nothing is lost
    Suspend {
        /// Its id, or one of its host names
        site: String,
        /// Why, for the site's admins
        #[arg(long)]
        reason: String,
        /// What its members are told
        #[arg(long)]
        notice: Option<String>,
    },
    /// Serve a site again
    Resume {
        /// Its id, or one of its host names
        site: String,
    },
    /// Delete a site; for 30 days it can be restored
    Delete {
        /// Its id, or one of its host names
        site: String,
        /// Only say what would go with it in the end
        #[arg(long)]
        dry_run: bool,
    },
    /// Bring a deleted site back
    Restore {
        /// Its id, or one of its host names
        site: String,
    },
}

impl Site {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let api = self.access.open()?;
        let answer = match self.act {
            Act::List { status, kind, search, most } => {
                let filters = [("status", status), ("kind", kind), ("q", search)];
                let query: Vec<_> =
                    filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
                let sites = api.list("/v1/sites", &query, most).await?;
                if self.access.json {
                    println!("{}", Value::Array(sites));
                } else {
                    table::print(COLUMNS, &sites);
                }
                return Ok(());
            }
            Act::Create { name, domains, registration, kind } => {
                let body = given(json!({
                    "name": name, "domains": domains, "registration": registration, "kind": kind,
                }));
                api.post("/v1/sites", &body).await?
            }
            Act::Show { site } => find(&api, &site).await?,
            Act::Set { site, name, registration } => {
                let change = given(json!({ "name": name, "registration": registration }));
                let path = path(&api, &site).await?;
                api.patch(&path, &change).await?
            }
            Act::Suspend { site, reason, notice } => {
                let body = given(json!({ "reason": reason, "notice": notice }));
                api.post(&format!("{}/suspend", path(&api, &site).await?), &body).await?
            }
            Act::Resume { site } => {
                api.post(&format!("{}/resume", path(&api, &site).await?), &json!({})).await?
            }
            Act::Delete { site, dry_run } => {
                let tried = if dry_run { "?dry_run=true" } else { "" };
                api.delete(&format!("{}{tried}", path(&api, &site).await?)).await?
            }
            Act::Restore { site } => {
                api.post(&format!("{}/restore", path(&api, &site).await?), &json!({})).await?
            }
        };
        if self.access.json {
            println!("{answer}");
        } else {
            table::print_one(&answer);
        }
        Ok(())
    }
}

/// An object without the fields that were not given.
pub(crate) fn given(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

/// Where a site is in the API.
pub(crate) async fn path(api: &Api, site: &str) -> anyhow::Result<String> {
    let found = find(api, site).await?;
    let id = found["id"].as_str().context("the API showed a site without id")?;
    Ok(format!("/v1/sites/{id}"))
}

/// The site with this id or host name.
async fn find(api: &Api, site: &str) -> anyhow::Result<Value> {
    if site.starts_with("site_") {
        return api.get(&format!("/v1/sites/{site}"), &[]).await;
    }
    let host = site.to_lowercase();
    let has_host = |found: &Value| {
        found["domains"].as_array().is_some_and(|domains| domains.iter().any(|domain| *domain == host))
    };
    let found = api.list("/v1/sites", &[("q", host.clone())], 10_000).await?;
    match found.into_iter().find(has_host) {
        Some(found) => Ok(found),
        None => bail!("no site has the host name {host}; `tmtpctl site list` shows them"),
    }
}
