//! `tmtpctl policy`: what a site allows its members, through the admin API.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::api::Access;
use crate::site::path;
use crate::table::{self, Column};

const HISTORY: &[Column] =
    &[("VERSION", "/version"), ("CHANGED", "/changed_at"), ("KEY", "/changed_by"), ("POLICY", "/policy")];
const FIELDS: &[Column] = &[("FIELD", "/field"), ("VALUE", "/value")];

#[derive(Debug, clap::Args)]
pub(crate) struct Policy {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Show what is set
    Show {
        /// The site: its id, or one of its host names
        site: String,
        /// With the defaults of what is not set
        #[arg(long)]
        effective: bool,
    },
    /// Change some fields, as in `posts.per_minute=30 pings.allowed=false`
    Set {
        /// The site: its id, or one of its host names
        site: String,
        /// A field and its value in JSON, or a plain text; null goes back to the default
        #[arg(value_name = "FIELD=VALUE", required = true)]
        fields: Vec<String>,
        /// Only say what would come of it
        #[arg(long)]
        dry_run: bool,
    },
    /// Show what was set before, the newest first
    History {
        /// The site: its id, or one of its host names
        site: String,
    },
    /// Set again what was set in an earlier version
    Rollback {
        /// The site: its id, or one of its host names
        site: String,
        /// A version of the history; 0 for nothing at all
        version: u32,
        /// Only say what would come of it
        #[arg(long)]
        dry_run: bool,
    },
}

impl Policy {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let api = self.access.open()?;
        let tried = |dry_run| if dry_run { "?dry_run=true" } else { "" };
        let answer = match self.act {
            Act::Show { site, effective } => {
                let rest = if effective { "/effective" } else { "" };
                api.get(&format!("{}/policy{rest}", path(&api, &site).await?), &[]).await?
            }
            Act::Set { site, fields, dry_run } => {
                let patch = patch(&fields)?;
                let place = format!("{}/policy{}", path(&api, &site).await?, tried(dry_run));
                api.patch(&place, &patch).await?
            }
            Act::History { site } => {
                let place = format!("{}/policy/history", path(&api, &site).await?);
                let versions = api.list(&place, &[], usize::MAX).await?;
                self.access.show_all(HISTORY, versions);
                return Ok(());
            }
            Act::Rollback { site, version, dry_run } => {
                let place = format!("{}/policy/rollback{}", path(&api, &site).await?, tried(dry_run));
                api.post(&place, &json!({ "version": version })).await?
            }
        };
        if self.access.json {
            println!("{answer}");
            return Ok(());
        }
        for problem in answer["problems"].as_array().into_iter().flatten() {
            table::print_one(problem);
        }
        let shown = if answer.get("problems").is_some() { &answer["set"] } else { &answer };
        table::print(FIELDS, &flat(shown));
        Ok(())
    }
}

/// The merge patch of such fields.
fn patch(fields: &[String]) -> anyhow::Result<Value> {
    let mut patch = Map::new();
    for field in fields {
        let (name, text) = field.split_once('=').with_context(|| format!("{field}: say FIELD=VALUE"))?;
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        let Some((section, name)) = name.split_once('.') else {
            // The only field that is in no section.
            if name == "registration" {
                patch.insert(name.to_owned(), value);
                continue;
            }
            bail!("{name}: say which field of it, as in posts.per_minute");
        };
        let place = patch.entry(section).or_insert_with(|| json!({}));
        place[name] = value;
    }
    Ok(Value::Object(patch))
}

/// The fields of a policy as entries of a table.
fn flat(policy: &Value) -> Vec<Value> {
    let sections = policy.as_object().into_iter().flatten();
    let entry = |field: String, value: &Value| json!({ "field": field, "value": value });
    let fields = sections.flat_map(|(section, fields)| match fields {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| entry(format!("{section}.{name}"), value)).collect()
        }
        value => vec![entry(section.clone(), value)],
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is typed becomes the right patch; method: values of each kind, and lines that say too little.
    #[test]
    fn patches() {
        let typed = [
            "posts.per_minute=30",
            "posts.forwarding=false",
            "groups.create=nobody",
            "pings.per_day=null",
            "registration=invite",
        ];
        let typed = typed.map(str::to_owned);
        let expected = json!({
            "posts": { "per_minute": 30, "forwarding": false }, "groups": { "create": "nobody" },
            "pings": { "per_day": null }, "registration": "invite",
        });
        assert_eq!(patch(&typed).unwrap(), expected);
        assert_eq!(flat(&expected)[0], json!({ "field": "groups.create", "value": "nobody" }));
        assert_eq!(flat(&expected)[4], json!({ "field": "registration", "value": "invite" }));
        assert!(patch(&["posts.per_minute".to_owned()]).is_err());
        assert!(patch(&["posts=1".to_owned()]).is_err());
    }
}
