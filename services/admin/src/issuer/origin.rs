//! Where a request comes from.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::Issuer;

/// The address of whoever asks: of the connection, or what the outermost of our own proxies saw.
pub(super) struct Caller(pub SocketAddr);

impl FromRequestParts<Issuer> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, issuer: &Issuer) -> Result<Self, Infallible> {
        let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let connected = connected.map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |info| info.0);
        let forwarded = forwarded_for(&parts.headers, issuer.shared.config.proxies);
        Ok(Self(forwarded.map_or(connected, |address| SocketAddr::new(address, 0))))
    }
}

/// Each proxy adds, on the right, who asked it. What stands further left than our proxies is anybody's invention.
fn forwarded_for(headers: &HeaderMap, proxies: u8) -> Option<IpAddr> {
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let addresses: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    let place = addresses.len().checked_sub(usize::from(proxies))?;
    if proxies == 0 { None } else { addresses.get(place)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: nobody can choose where they come from; method: the same header behind no, one and three proxies.
    #[test]
    fn proxies() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "192.0.2.9, 192.0.2.1".parse().unwrap());
        headers.append("x-forwarded-for", "192.0.2.2".parse().unwrap());
        let seen = |proxies| forwarded_for(&headers, proxies).map(|address| address.to_string());
        assert_eq!(seen(0), None);
        assert_eq!(seen(1).as_deref(), Some("192.0.2.2"));
        assert_eq!(seen(2).as_deref(), Some("192.0.2.1"));
        assert_eq!(seen(4), None);
    }
}
