//! The settings of ordered certificates.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tmtp_chassis::config::Humantime;

/// Certificates ordered from an authority (ACME, RFC 8555), for the domains for which that is switched on by the API. The
/// authority proves a domain by connecting to it at port 443, which has to lead to the gateways (tls-alpn-01).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Acme {
    /// Whether this server orders. Any number of them may; they share the work.
    pub enabled: bool,
    /// The authority.
    pub directory: String,
    /// A PEM file with the root certificate to check the authority's own against, for authorities that are not public.
    pub root: Option<PathBuf>,
    /// A mail address at which the authority reaches whoever runs this; none when empty.
    pub contact: String,
    /// That you agree to the authority's terms of service; without that it issues nothing.
    pub terms_agreed: bool,
    /// How often it is looked whether there is something to order.
    #[serde(with = "Humantime")]
    pub look_every: Duration,
    /// How long a domain waits after its first failure; twice as long after each further one. Authorities allow five
    /// failures an hour.
    #[serde(with = "Humantime")]
    pub retry_min: Duration,
    /// How long a domain waits at most.
    #[serde(with = "Humantime")]
    pub retry_max: Duration,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            enabled: false,
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            root: None,
            contact: String::new(),
            terms_agreed: false,
            look_every: Duration::from_secs(10),
            retry_min: Duration::from_mins(15),
            retry_max: Duration::from_hours(12),
        }
    }
}

impl Acme {
    pub(super) fn problems(&self, has_key: bool) -> Vec<String> {
        let mut problems = Vec::new();
        let mut demand = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        demand(self.directory.starts_with("https://"), "acme.directory must start with https://");
        demand(!self.contact.starts_with("mailto:"), "acme.contact must be an address without mailto:");
        demand(!self.look_every.is_zero(), "acme.look_every must be longer than nothing");
        demand(!self.retry_min.is_zero(), "acme.retry_min must be longer than nothing");
        demand(self.retry_min <= self.retry_max, "acme.retry_min must not be longer than acme.retry_max");
        if self.enabled {
            demand(
                self.terms_agreed,
                "acme.terms_agreed must be true for acme.enabled: read the authority's terms",
            );
            demand(has_key, "secrets.key is required for acme.enabled (or secrets.key_file)");
        }
        problems
    }
}
