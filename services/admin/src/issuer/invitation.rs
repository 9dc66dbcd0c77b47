//! The page behind the link of an invite. Opening it, which previews of links do by themselves, changes nothing.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use tmtp_domain::{InviteCode, Provider, Site, SiteId};
use tmtp_store::InviteRecord;

use super::Issuer;
use super::origin::Caller;
use super::page::{self, Kind};
use super::refusal::Refusal;
use super::site::OfSite;

/// Seconds for which a browser remembers the code, so that it need not be typed.
const REMEMBER: u32 = 24 * 3_600;

/// `GET /{site}/i/{code}`
pub(super) async fn show(
    State(issuer): State<Issuer>,
    OfSite(site): OfSite,
    Path((_, code)): Path<(String, String)>,
    Caller(from): Caller,
) -> Response {
    match issuer.redeem(site.id, &code, from).await {
        Ok(invite) => issuer.show_invitation(&site, &invite, &code),
        Err(refusal) => refusal.into_response(Kind::Page),
    }
}

impl Issuer {
    /// The link of an invite at a site that has this domain, or this id.
    pub(crate) fn link(url: &str, site: &str, code: &InviteCode) -> String {
        format!("{}/{site}/i/{}", url.trim_end_matches('/'), code.reveal())
    }

    fn show_invitation(&self, site: &Site, invite: &InviteRecord, code: &str) -> Response {
        let Ok(code) = InviteCode::parse(code) else { return Refusal::UnknownCode.into_response(Kind::Page) };
        let provider = Provider::invitation(site.id, &site.name, &self.shared.url);
        let domain = site.domains.iter().find(|domain| !domain.starts_with('*'));
        let link = Self::link(&self.shared.url, domain.unwrap_or(&site.id.to_string()), &code);
        let expires = invite.usage.expires_at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        let code = code.reveal();
        let mut response = page::invitation(&page::Invitation {
            site: &site.name,
            address: self.address(site).as_deref(),
            label: &provider.label,
            code: &code,
            link: &link,
            alias: invite.alias.as_deref(),
            requires_approval: invite.requires_approval,
            expires: expires.map(|at| at.strftime("%-d %B %Y, %H:%M UTC").to_string()),
        });
        let secure = if self.shared.url.starts_with("https://") { "; Secure" } else { "" };
        let cookie = format!(
            "{}={code}; Path=/; Max-Age={REMEMBER}; HttpOnly; SameSite=Lax{secure}",
            cookie_name(site.id)
        );
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// The code that this browser was shown last for this site, if it is one.
pub(super) fn remembered(headers: &HeaderMap, site: SiteId) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies =
        lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    let (_, code) = cookies.find(|(name, _)| *name == cookie_name(site))?;
    InviteCode::parse(code).ok().map(|code| code.reveal())
}

fn cookie_name(site: SiteId) -> String {
    format!("invite_{}", site.0.simple())
}
