//! `tmtpctl provider`: whose sign-in tokens a site takes, through the admin API.

use clap::Subcommand;
use serde_json::json;

use crate::api::Access;
use crate::site::{given, path};
use crate::table::Column;

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("LABEL", "/label"),
    ("ISSUER", "/issuer"),
    ("AUDIENCES", "/audiences"),
    ("CHANGED", "/changed_at"),
];
const CHECKS: &[Column] = &[("PART", "/part"), ("OK", "/ok"), ("MESSAGE", "/message")];

#[derive(Debug, clap::Args)]
pub(crate) struct Provider {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List the OpenID Connect providers of a site
    List {
        /// The site: its id, or one of its host names
        site: String,
    },
    /// Show a provider
    Show(One),
    /// Make a provider; its addresses are asked of the issuer
    Create {
        #[command(flatten)]
        one: One,
        /// What people see
        #[arg(long)]
        label: String,
        /// The `iss` of its tokens, as in https://id.example
        #[arg(long, value_name = "URL")]
        issuer: String,
        /// The client id that the provider has given you
        #[arg(long)]
        client_id: String,
        /// What clients ask for
        #[arg(long)]
        scope: Option<String>,
        /// The claim that is the member's alias
        #[arg(long, value_name = "CLAIM")]
        alias_claim: Option<String>,
        /// Only people of this domain; may be given several times
        #[arg(long = "domain", value_name = "DOMAIN")]
        domains: Vec<String>,
    },
    /// Try a provider out, and say what is wrong
    Test(One),
    /// Have gateways fetch its keys anew
    Refresh(One),
    /// Remove a provider; who came through it stays
    Remove(One),
}

#[derive(Debug, clap::Args)]
struct One {
    /// The site: its id, or one of its host names
    site: String,
    /// The provider's id
    provider: String,
}

impl Provider {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let api = self.access.open()?;
        let list = async |site: &str| -> anyhow::Result<String> {
            Ok(format!("{}/oidc-providers", path(&api, site).await?))
        };
        let answer = match self.act {
            Act::List { site } => {
                let providers = api.list(&list(&site).await?, &[], usize::MAX).await?;
                self.access.show_all(COLUMNS, providers);
                return Ok(());
            }
            Act::Show(one) => api.get(&format!("{}/{}", list(&one.site).await?, one.provider), &[]).await?,
            Act::Create { one, label, issuer, client_id, scope, alias_claim, domains } => {
                let claims = given(json!({ "alias": alias_claim, "domains": domains }));
                let body = given(json!({
                    "id": one.provider, "label": label, "issuer": issuer, "client_id": client_id, "scope": scope,
                    "claims": claims,
                }));
                api.post(&list(&one.site).await?, &body).await?
            }
            Act::Test(one) => {
                let place = format!("{}/{}/test", list(&one.site).await?, one.provider);
                let tested = api.post(&place, &json!({})).await?;
                if !self.access.json {
                    self.access.show_all(CHECKS, tested["checks"].as_array().cloned().unwrap_or_default());
                    return Ok(());
                }
                tested
            }
            Act::Refresh(one) => {
                let place = format!("{}/{}/refresh", list(&one.site).await?, one.provider);
                api.post(&place, &json!({})).await?
            }
            Act::Remove(one) => {
                api.delete(&format!("{}/{}", list(&one.site).await?, one.provider)).await?;
                json!({ "id": one.provider, "removed": true })
            }
        };
        self.access.show_one(&answer);
        Ok(())
    }
}
