//! The site of a request: the first part of its path, which is an id or a domain.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::response::Response;
use tmtp_domain::{Site, SiteId, SiteStatus};
use uuid::Uuid;

use super::Issuer;
use super::page::Kind;
use super::refusal::Refusal;

/// Octets of the longest domain.
const NAME_MAX: usize = 253;

/// The site that a request is about; it is served.
pub(super) struct OfSite(pub Site);

impl FromRequestParts<Issuer> for OfSite {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, issuer: &Issuer) -> Result<Self, Response> {
        let name = match RawPathParams::from_request_parts(parts, issuer).await {
            Ok(params) => params.iter().find(|(name, _)| *name == "site").map(|(_, value)| value.to_owned()),
            Err(_) => None,
        };
        let kind = if parts.uri.path().ends_with("/token") { Kind::Json } else { Kind::Page };
        let found = issuer.site(name.unwrap_or_default().as_str()).await;
        found.map(OfSite).map_err(|refusal| refusal.into_response(kind))
    }
}

impl Issuer {
    async fn site(&self, name: &str) -> Result<Site, Refusal> {
        // Postgres could not even look up some of the rest.
        if name.len() > NAME_MAX || !name.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(Refusal::Nothing);
        }
        let id = name.strip_prefix("site_").unwrap_or(name).parse::<Uuid>();
        let site = match id {
            Ok(id) => self.shared.store.sites(&[SiteId(id)]).await?.pop(),
            Err(_) => self.shared.store.site_by_domain(name).await?,
        };
        let site = site.ok_or(Refusal::Nothing)?;
        if site.status == SiteStatus::Active { Ok(site) } else { Err(Refusal::Closed) }
    }

    /// What people type into their client, unless the site has only domains that stand for many.
    pub(super) fn address(&self, site: &Site) -> Option<String> {
        let domain = site.domains.iter().find(|domain| !domain.starts_with('*'))?;
        Some(format!("+{domain}:{}", self.shared.config.tmtp_port))
    }
}
