//! `GET /v1/sites/{site}/invites/{invite}/qr.svg`: the link as a picture, for whoever has kept the code.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tmtp_domain::InviteCode;
use utoipa::IntoParams;

use super::show::find;
use super::{domains, link};
use crate::api::caller::{Caller, may};
use crate::api::id::{InviteRef, SiteRef};
use crate::api::openapi::Refusals;
use crate::api::payload::{Place, pairs, read_query};
use crate::api::{Api, Problem};
use crate::issuer::qr;

/// Of which code.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeParam {
    /// The invite's code, which is not kept here: it was told when the invite was made or resent.
    #[param(min_length = 1, max_length = 100)]
    code: String,
}

impl FromRequestParts<Api> for CodeParam {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        read_query(&pairs(parts)?)
    }
}

/// Show the link of an invite as a QR code
#[utoipa::path(get, path = "/v1/sites/{site}/invites/{invite}/qr.svg", operation_id = "get_invite_qr",
    tag = "invites", security(("key" = ["invites:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("invite" = InviteRef, Path, description = "The invite's id"), CodeParam),
    responses((status = 200, description = "A picture", body = String, content_type = "image/svg+xml"), Refusals))]
pub(crate) async fn show(
    caller: Caller<may::ReadInvites>,
    Place((site, invite)): Place<(SiteRef, InviteRef)>,
    wanted: CodeParam,
) -> Result<Response, Problem> {
    let invite = find(&caller, site, invite).await?;
    let unknown = || Problem::invalid("code", "this is not the code of the invite");
    let code = InviteCode::parse(&wanted.code).map_err(|_| unknown())?;
    if !caller.api.database.is_code_of(&invite, &code).await? {
        return Err(unknown());
    }
    let domains = domains(&caller, invite.site).await?;
    // Without pages for invited people there is nothing here.
    let link = link(&caller.api, &domains, invite.site, &code).ok_or_else(Problem::not_found)?;
    let picture = qr(&link).ok_or_else(Problem::internal)?;
    let document = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", standing_alone(&picture));
    Ok(([(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "no-store")], document)
        .into_response())
}

/// A picture that is a document of its own names its language.
fn standing_alone(picture: &str) -> String {
    if picture.contains("xmlns=") {
        picture.to_owned()
    } else {
        picture.replacen("<svg", r#"<svg xmlns="http://www.w3.org/2000/svg""#, 1)
    }
}
