//! `tmtpctl audit`: who changed what, through the admin API.

use serde_json::Value;

use crate::api::Access;
use crate::site::path;
use crate::table::{self, Column};

const COLUMNS: &[Column] = &[
    ("AT", "/at"),
    ("ACTION", "/action"),
    ("TARGET", "/target"),
    ("KEY", "/key"),
    ("FROM", "/from"),
    ("REQUEST", "/request_id"),
];

/// Show the audit log, the newest entry first
#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    #[command(flatten)]
    access: Access,
    /// Only of this site: its id, or one of its host names
    #[arg(long)]
    site: Option<String>,
    /// Only this action, such as site.suspend
    #[arg(long)]
    action: Option<String>,
    /// Only with this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// So many entries at most
    #[arg(long, default_value_t = 100)]
    most: usize,
}

impl Audit {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let api = self.access.open()?;
        let place = match &self.site {
            Some(site) => format!("{}/audit", path(&api, site).await?),
            None => "/v1/audit".to_owned(),
        };
        let filters = [("action", self.action), ("key", self.key)];
        let query: Vec<_> = filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let entries = api.list(&place, &query, self.most).await?;
        if self.access.json {
            println!("{}", Value::Array(entries));
        } else {
            table::print(COLUMNS, &entries);
        }
        Ok(())
    }
}
