//! The page to which a client sends people: they give the code of their invite, and go back with a code for a token.

use std::time::Duration;

use aws_lc_rs::{digest, rand};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use tmtp_domain::Site;
use tmtp_store::{InviteRecord, SignInCode};

use super::client::SignIn;
use super::origin::Caller;
use super::page::{self, Kind, SignInPage};
use super::params::Params;
use super::refusal::Refusal;
use super::site::OfSite;
use super::{Issuer, invitation};

/// For how long the client may take to fetch its token.
const CODE_LIFE: Duration = Duration::from_mins(2);

/// `GET /{site}/authorize`
pub(super) async fn show(
    State(issuer): State<Issuer>,
    OfSite(site): OfSite,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    match issuer.read(&site, query.as_deref().unwrap_or_default()) {
        Ok((sign_in, _)) => {
            let code = invitation::remembered(&headers, site.id).unwrap_or_default();
            ask(&site, &sign_in, &code, None)
        }
        Err(refusal) => refusal.into_response(Kind::Page),
    }
}

/// `POST /{site}/authorize`
pub(super) async fn submit(
    State(issuer): State<Issuer>,
    OfSite(site): OfSite,
    Caller(from): Caller,
    form: String,
) -> Response {
    let (sign_in, params) = match issuer.read(&site, &form) {
        Ok(read) => read,
        Err(refusal) => return refusal.into_response(Kind::Page),
    };
    let typed = params.get("invite_code").unwrap_or_default();
    let outcome = match issuer.redeem(site.id, typed, from).await {
        Ok(invite) => issuer.go_back(&site, &sign_in, &invite).await,
        Err(refusal) => Err(refusal),
    };
    outcome.unwrap_or_else(|refusal| {
        let mut response = ask(&site, &sign_in, typed, Some(refusal));
        // For what every refusal has to say to machines.
        if let Some(after) = refusal.into_response(Kind::Page).headers_mut().remove(header::RETRY_AFTER) {
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        response
    })
}

impl Issuer {
    fn read(&self, site: &Site, text: &str) -> Result<(SignIn, Params), Refusal> {
        let params = Params::parse(text)?;
        let sign_in = SignIn::read(&params, site.id, &self.shared.config.web_clients)?;
        Ok((sign_in, params))
    }

    /// Sends the browser back to the client with a new code.
    async fn go_back(
        &self,
        site: &Site,
        sign_in: &SignIn,
        invite: &InviteRecord,
    ) -> Result<Response, Refusal> {
        let code = random_text()?;
        let kept = SignInCode {
            invite: invite.id(),
            redirect_uri: sign_in.redirect_uri.clone(),
            challenge: sign_in.challenge.clone(),
            nonce: sign_in.nonce.clone(),
        };
        self.shared.store.put_sign_in_code(site.id, &hash(&code), &kept, CODE_LIFE).await?;
        let headers = [
            (header::LOCATION, sign_in.answer(&code)?),
            (header::CACHE_CONTROL, "no-store".to_owned()),
            (header::REFERRER_POLICY, "no-referrer".to_owned()),
        ];
        Ok((StatusCode::SEE_OTHER, headers).into_response())
    }
}

fn ask(site: &Site, sign_in: &SignIn, code: &str, refusal: Option<Refusal>) -> Response {
    page::sign_in(&SignInPage {
        site: &site.name,
        fields: &sign_in.fields(site.id),
        code,
        refusal,
        origin: &sign_in.origin(),
    })
}

/// 256 random bits, for what nobody may guess.
pub(super) fn random_text() -> Result<String, Refusal> {
    let mut octets = [0; 32];
    rand::fill(&mut octets).map_err(|_| {
        tracing::error!("the machine has no random numbers");
        Refusal::Unavailable
    })?;
    Ok(BASE64URL_NOPAD.encode(&octets))
}

/// What is kept of such a text.
pub(super) fn hash(text: &str) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let mut octets = [0; 32];
    octets.copy_from_slice(hash.as_ref());
    octets
}
