//! Small JSON documents over HTTP: bounded in size and time, without redirects, and only from where it is allowed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect};

/// Where documents may be fetched from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// From public addresses. Sites' admins choose addresses, and must not choose what only we can reach.
    #[default]
    Public,
    /// From everywhere: for tests, and for deployments whose providers are in their own network.
    Anywhere,
}

/// Why a document could not be fetched, in words for those who set the provider up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not an address at all.
    #[error("the address is not a valid URL")]
    Address,
    /// See [`Reach`].
    #[error("the address leads into a private network, which is not allowed here")]
    Private,
    /// No answer in time.
    #[error("there was no complete answer in time")]
    TimedOut,
    /// No connection: the name is unknown, nobody listens, or the certificate is not accepted.
    #[error("could not connect: {0}")]
    Connect(String),
    /// An answer, but not 200.
    #[error("the answer had HTTP status {0}, not 200")]
    Status(u16),
    /// More than such a document has.
    #[error("the answer is larger than {0} octets")]
    TooLarge(usize),
    /// The connection broke.
    #[error("the answer could not be read")]
    Broken,
    /// Not the document that it should be.
    #[error("{0}")]
    Content(&'static str),
}

/// Fetches documents.
#[derive(Clone)]
pub(crate) struct Fetcher {
    client: Client,
    reach: Reach,
    octets_max: usize,
}

impl Fetcher {
    pub(crate) fn new(reach: Reach, wait_max: Duration, octets_max: usize) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .user_agent("postern")
            .timeout(wait_max)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Resolver { reach }))
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { client, reach, octets_max })
    }

    pub(crate) async fn get(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        let url: Url = address.parse().map_err(|_| FetchError::Address)?;
        let host = url.host_str().ok_or(FetchError::Address)?;
        // Names are looked at when they are resolved; numbers never are.
        let number = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if self.reach == Reach::Public && number.is_ok_and(is_private) {
            return Err(FetchError::Private);
        }
        let mut response = self.client.get(url).send().await.map_err(|error| no_answer(&error))?;
        if response.status() != 200 {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(&error))? {
            if body.len() + chunk.len() > self.octets_max {
                return Err(FetchError::TooLarge(self.octets_max));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn no_answer(error: &reqwest::Error) -> FetchError {
    if error.is_timeout() {
        return FetchError::TimedOut;
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if innermost.is::<Forbidden>() {
        return FetchError::Private;
    }
    if error.is_connect() { FetchError::Connect(innermost.to_string()) } else { FetchError::Broken }
}

/// All addresses of a name are private.
#[derive(Debug, thiserror::Error)]
#[error("only private addresses")]
struct Forbidden;

struct Resolver {
    reach: Reach,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(|at| reach == Reach::Anywhere || !is_private(at.ip())).collect();
            if allowed.is_empty() {
                return Err(Forbidden.into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether an address is not one of the public network.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                // Shared by carriers, and for benchmarks.
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
        }
        // Public addresses are 2000::/3 so far; of those some carry an IPv4 address (6to4, Teredo) or document.
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            first & 0xe000 != 0x2000
                || first == 0x2002
                || (first == 0x2001 && (second == 0 || second == 0x0db8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what only we can reach is not reached; method: addresses of each kind, mapped ones too.
    #[test]
    fn private_addresses() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "::1",
            "::ffff:10.0.0.1",
            "fd00::1",
            "fe80::1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "255.255.255.255",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }

    /// Goal: refusals say why; method: a number, a name of this machine, and no address.
    #[tokio::test]
    async fn refusals() {
        let fetcher = Fetcher::new(Reach::Public, Duration::from_secs(10), 10).unwrap();
        for address in ["http://127.0.0.1:1/", "http://[::1]:1/", "http://localhost:1/"] {
            assert_eq!(fetcher.get(address).await, Err(FetchError::Private), "{address}");
        }
        assert_eq!(fetcher.get("keys").await, Err(FetchError::Address));
    }
}
