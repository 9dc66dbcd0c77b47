//! `tmtpctl cluster`: gateways, workers and shards, through the admin API.

use clap::Subcommand;
use serde_json::json;

use crate::api::Access;
use crate::table::{self, Column};

const GATEWAYS: &[Column] =
    &[("GATEWAY", "/id"), ("LINKS", "/links"), ("DRAIN WANTED", "/drain_wanted"), ("DRAINED", "/drained")];
const WORKERS: &[Column] = &[("WORKER", "/id"), ("SHARDS", "/shards"), ("LEASE LEFT MS", "/lease_left_ms")];

#[derive(Debug, clap::Args)]
pub(crate) struct Cluster {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Show gateways and workers, and what waits in the streams
    Show,
    /// Have a gateway let its clients go and take no more
    Drain {
        /// Its id, which is new with each start of it
        gateway: String,
    },
    /// Have a drained gateway take clients again
    Undrain {
        /// Its id
        gateway: String,
    },
}

impl Cluster {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let api = self.access.open()?;
        let answer = match self.act {
            Act::Show => {
                let cluster = api.get("/v1/cluster", &[]).await?;
                if !self.access.json {
                    for (columns, part) in [(GATEWAYS, "gateways"), (WORKERS, "workers")] {
                        table::print(columns, cluster[part].as_array().map_or(&[], Vec::as_slice));
                        println!();
                    }
                    table::print_one(&json!({ "entries": cluster["entries"], "lag_ms": cluster["lag_ms"] }));
                    return Ok(());
                }
                cluster
            }
            Act::Drain { gateway } => {
                api.post(&format!("/v1/cluster/gateways/{gateway}/drain"), &json!({})).await?
            }
            Act::Undrain { gateway } => {
                api.post(&format!("/v1/cluster/gateways/{gateway}/undrain"), &json!({})).await?
            }
        };
        self.access.show_one(&answer);
        Ok(())
    }
}
