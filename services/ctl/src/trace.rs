//! `tmtpctl trace`: what became of a message, through the admin API.

use anyhow::bail;
use serde_json::Value;

use crate::api::{Access, segment};
use crate::site::path;
use crate::table::{self, Column};

const COLUMNS: &[Column] = &[
    ("AT", "/at"),
    ("STEP", "/step"),
    ("UID", "/uid"),
    ("DEVICE", "/device"),
    ("DEVICES", "/devices"),
    ("GATEWAY", "/gateway"),
    ("REASON", "/reason"),
];

/// Show what became of a message, and never what it says
#[derive(Debug, clap::Args)]
pub(crate) struct Trace {
    #[command(flatten)]
    access: Access,
    /// The site: its id, or one of its host names
    site: String,
    /// The message's id: 16 digits of 0-9 and a-f
    #[arg(value_name = "MSGID")]
    id: String,
}

impl Trace {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let api = self.access.open()?;
        let place = format!("{}/messages/{}/trace", path(&api, &self.site).await?, segment(&self.id));
        let answer = api.get(&place, &[]).await?;
        if self.access.json {
            println!("{answer}");
            return Ok(());
        }
        let Value::Array(steps) = &answer["steps"] else { bail!("the API showed no steps") };
        table::print(COLUMNS, steps);
        println!("{}", summary(&answer));
        Ok(())
    }
}

/// How many devices it concerns, in a line.
fn summary(answer: &Value) -> String {
    let devices = &answer["devices"];
    let count = |name: &str| devices[name].as_u64().map_or_else(|| "?".to_owned(), |count| count.to_string());
    let [queued, acked, expired, dropped, waiting] =
        ["queued", "acked", "expired", "dropped", "waiting"].map(count);
    let rest = if answer["complete"] == true { "" } else { "; some steps are not shown" };
    format!(
        "queued for {queued}: {acked} acked, {expired} expired, {dropped} dropped, {waiting} waiting{rest}"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Goal: the line below the table says how far it is, and whether all is shown; method: answers of both kinds.
    #[test]
    fn summaries() {
        let devices = json!({ "queued": 3, "acked": 1, "expired": 0, "dropped": 0, "waiting": 2 });
        assert_eq!(
            summary(&json!({ "devices": devices, "complete": true })),
            "queued for 3: 1 acked, 0 expired, 0 dropped, 2 waiting"
        );
        let unknown = json!({ "queued": 1, "acked": 0, "expired": 0, "dropped": 0, "waiting": null });
        assert_eq!(
            summary(&json!({ "devices": unknown, "complete": false })),
            "queued for 1: 0 acked, 0 expired, 0 dropped, ? waiting; some steps are not shown"
        );
    }
}
