//! Where a client gets its token for the code that came back with the browser.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use tmtp_domain::{InviteId, Site};
use tmtp_store::{InviteRecord, Sights};
use url::Url;
use uuid::Uuid;

use super::Issuer;
use super::authorize::{hash, random_text};
use super::client::is_own_machine;
use super::page::Kind;
use super::params::Params;
use super::refusal::Refusal;
use super::site::OfSite;

/// Seconds for which a token is good: long enough to choose an alias, and to choose another one.
const TOKEN_LIFE: i64 = 600;

/// The answer, as the specification names its fields. The ordinary client insists on a `scope` that is not empty.
#[derive(Serialize)]
struct Tokens {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    scope: &'static str,
    id_token: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: String,
    /// Random: whoever joins with the same invite is somebody else.
    sub: String,
    iat: i64,
    exp: i64,
    invite: InviteId,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

/// `POST /{site}/token`
pub(super) async fn exchange(
    State(issuer): State<Issuer>,
    OfSite(site): OfSite,
    headers: HeaderMap,
    form: String,
) -> Response {
    let mut response = match issuer.exchange(&site, &form).await {
        Ok(tokens) => Json(tokens).into_response(),
        Err(refusal) => refusal.into_response(Kind::Json),
    };
    issuer.allow_origin(&headers, &mut response);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `OPTIONS /{site}/token`: a browser asks whether a client's page may.
pub(super) async fn preflight(State(issuer): State<Issuer>, headers: HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if issuer.allow_origin(&headers, &mut response) {
        let allowed = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type"),
            (header::ACCESS_CONTROL_MAX_AGE, "3600"),
        ];
        response.headers_mut().extend(allowed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    }
    response
}

impl Issuer {
    async fn exchange(&self, site: &Site, form: &str) -> Result<Tokens, Refusal> {
        let params = Params::parse(form)?;
        if params.get("grant_type").is_some_and(|kind| kind != "authorization_code") {
            return Err(Refusal::Client("its grant_type is not authorization_code"));
        }
        if params.get("client_id").is_some_and(|client| client != site.id.to_string()) {
            return Err(Refusal::Client("its client_id is not the one of this site"));
        }
        let code = params.get("code").ok_or(Refusal::Client("it lacks the code"))?;
        let verifier = params.get("code_verifier").ok_or(Refusal::Client("it lacks the code_verifier"))?;
        // Taken before anything is compared: a code can be tried once.
        let taken = self.shared.store.take_sign_in_code(site.id, &hash(code)).await?;
        let sign_in = taken.ok_or(Refusal::Grant)?;
        let same_address = params.get("redirect_uri").is_none_or(|address| address == sign_in.redirect_uri);
        if BASE64URL_NOPAD.encode(&hash(verifier)) != sign_in.challenge || !same_address {
            return Err(Refusal::Grant);
        }
        let invite = self
            .shared
            .store
            .read(&Sights::of(site.id))
            .await?
            .invite(site.id, sign_in.invite)
            .await?
            .ok_or(Refusal::Grant)?;
        let now = jiff::Timestamp::now();
        if let Some(refusal) = Refusal::of_state(invite.usage.state(now.as_millisecond())) {
            return Err(refusal);
        }
        self.tokens(site, &invite, sign_in.nonce.as_deref(), now.as_second()).await
    }

    async fn tokens(
        &self,
        site: &Site,
        invite: &InviteRecord,
        nonce: Option<&str>,
        now: i64,
    ) -> Result<Tokens, Refusal> {
        let claims = Claims {
            iss: &self.issuer(site.id),
            aud: site.id.to_string(),
            sub: Uuid::new_v4().to_string(),
            iat: now,
            exp: now + TOKEN_LIFE,
            invite: invite.id(),
            alias: invite.alias.as_deref(),
            nonce,
        };
        Ok(Tokens {
            // There is nothing to access; clients want one.
            access_token: random_text()?,
            token_type: "Bearer",
            expires_in: TOKEN_LIFE,
            scope: "openid",
            id_token: self.shared.keys.ring().await?.sign(&claims)?,
        })
    }

    /// Lets a client's page read the answer: ordinary clients have their pages on the person's own machine.
    fn allow_origin(&self, asked: &HeaderMap, response: &mut Response) -> bool {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
        let Some(origin) = asked.get(header::ORIGIN) else { return false };
        let allowed = origin.to_str().ok().and_then(|text| Url::parse(text).ok()).is_some_and(|url| {
            let known =
                |client: &String| Url::parse(client).is_ok_and(|known| known.origin() == url.origin());
            is_own_machine(&url) || self.shared.config.web_clients.iter().any(known)
        });
        if allowed {
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        allowed
    }
}
