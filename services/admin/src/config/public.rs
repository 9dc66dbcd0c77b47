//! The settings of the pages for invited people.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// The pages for invited people, and the issuer of their sign-in tokens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Public {
    /// Plain HTTP; TLS ends before it. Port 0 picks a free port, which the log then names.
    pub address: Option<SocketAddr>,
    /// Where the public reaches it, such as `https://join.example`. Part of every link of an invite, and of the
    /// issuer's name, so it must not change while invites are about.
    pub url: Option<String>,
    /// The port at which people's clients reach the sites.
    pub tmtp_port: u16,
    /// Addresses that clients on the web are sent back to, each exactly as the client gives it. Clients on people's
    /// own machines need not be here.
    pub web_clients: Vec<String>,
    /// How many proxies of ours are before it, each of which adds to `X-Forwarded-For`. With too many here, people can
    /// choose the address by which their tries are counted.
    pub proxies: u8,
}

impl Default for Public {
    fn default() -> Self {
        Self { address: None, url: None, tmtp_port: 443, web_clients: Vec::new(), proxies: 0 }
    }
}

impl Public {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.address.is_some() != self.url.is_some() {
            problems.push("public.address and public.url must be set both or not at all".to_owned());
        }
        if let Some(url) = &self.url
            && let Err(advice) = check_url(url)
        {
            problems.push(format!("public.url {advice}, not {url:?}"));
        }
        for client in &self.web_clients {
            if let Err(advice) = check_url(client) {
                problems.push(format!("public.web_clients {advice}, not {client:?}"));
            }
        }
        problems
    }
}

fn check_url(text: &str) -> Result<(), &'static str> {
    let advice =
        "must be an address such as https://join.example, without a user, ? or # (http:// is for localhost)";
    let url = Url::parse(text).map_err(|_| advice)?;
    let own = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let secure = url.scheme() == "https" || (url.scheme() == "http" && own);
    if plain && secure && url.has_host() { Ok(()) } else { Err(advice) }
}
