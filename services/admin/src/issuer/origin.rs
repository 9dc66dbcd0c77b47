//! Where a request comes from.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use super::Issuer;
use crate::forwarded::forwarded_for;

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
