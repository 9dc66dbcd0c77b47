//! `tmtpctl key`: keys to the admin API, through the admin API. A new key is printed once, or written into a file that
//! nobody else can read.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::api::Access;
use crate::credentials::SaveFile;
use crate::site::{given, path};
use crate::table::{self, Column};

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("ROLE", "/role"),
    ("SITES", "/sites"),
    ("EXPIRES", "/expires_at"),
    ("LAST USED", "/last_used_at"),
    ("REVOKED", "/revoked_at"),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Key {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List keys, the newest first
    List {
        /// Only those for this site: its id, or one of its host names
        #[arg(long)]
        site: Option<String>,
    },
    /// Make a key, and print it: nobody can tell it again
    Create {
        /// For people
        #[arg(long)]
        name: String,
        /// What it is for
        #[arg(long, value_name = "operator|owner|admin|support|auditor|readonly")]
        role: String,
        /// Only for this site: its id, or one of its host names; may be given several times
        #[arg(long = "site", value_name = "SITE")]
        sites: Vec<String>,
        /// Only this permission of the role's; may be given several times
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// When it ends by itself, as in 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// Write the key into this new file, for nobody else to read, and do not print it
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
    },
    /// End a key at once
    Revoke {
        /// Its id
        key: String,
    },
}

impl Key {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let api = self.access.open()?;
        match self.act {
            Act::List { site } => {
                let mut query = Vec::new();
                if let Some(site) = site {
                    let place = path(&api, &site).await?;
                    query.push(("site", place.trim_start_matches("/v1/sites/").to_owned()));
                }
                let keys = api.list("/v1/keys", &query, usize::MAX).await?;
                if self.access.json {
                    println!("{}", Value::Array(keys));
                } else {
                    table::print(COLUMNS, &keys);
                }
            }
            Act::Create { name, role, sites, scopes, expires_at, save } => {
                let mut ids = Vec::new();
                for site in &sites {
                    ids.push(path(&api, site).await?.trim_start_matches("/v1/sites/").to_owned());
                }
                let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
                let body = given(json!({
                    "name": name, "role": role, "sites": some(ids), "scopes": some(scopes), "expires_at": expires_at,
                }));
                let file = save.map(SaveFile::create).transpose()?;
                let mut made = match api.post("/v1/keys", &body).await {
                    Ok(made) => made,
                    Err(error) => {
                        file.into_iter().for_each(SaveFile::discard);
                        return Err(error);
                    }
                };
                if let Some(file) = file {
                    let key = made.as_object_mut().and_then(|fields| fields.remove("key"));
                    file.write_line(key.as_ref().and_then(Value::as_str).context("the API told no key")?)?;
                }
                if self.access.json {
                    println!("{made}");
                } else {
                    table::print_one(&made);
                }
            }
            Act::Revoke { key } => {
                api.delete(&format!("/v1/keys/{key}")).await?;
                if self.access.json {
                    println!("{}", json!({ "id": key, "revoked": true }));
                } else {
                    println!("{key} is revoked");
                }
            }
        }
        Ok(())
    }
}
