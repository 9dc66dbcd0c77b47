//! Invites of a site: made, listed, shown, given a new code, revoked. A code is told once, with its link.
//!
//! What is changed here is the invite only. Joining, and what becomes of who waits for approval, is the worker's.

mod bulk;
mod change;
mod create;
mod picture;
mod show;

pub(crate) use self::bulk::{BulkInput, BulkSecret};
use serde::Serialize;
use tmtp_domain::{InviteCode, SiteId};
use tmtp_store::InviteRecord;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::caller::Caller;
use crate::api::change::{Change, Note};
use crate::api::id::{InviteRef, KeyRef};
use crate::api::time::Time;
use crate::api::words::{InviteStateWord, Word};
use crate::api::{Api, Problem};
use crate::issuer::{Issuer, qr};

/// The routes of this resource.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create::create, show::list))
        .routes(routes!(show::show, change::revoke))
        .routes(routes!(show::joined))
        .routes(routes!(change::resend))
        .routes(routes!(bulk::create))
        .routes(routes!(picture::show))
}

/// An invite, without its code.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Invite {
    pub(crate) id: InviteRef,
    /// `pending`: nobody has joined with it; `active`: some have, and others may.
    state: InviteStateWord,
    /// The alias that whoever joins gets.
    #[schema(required = true)]
    alias: Option<String>,
    /// Who it is for, in your own system.
    #[schema(required = true)]
    external_id: Option<String>,
    /// The groups that whoever joins becomes a member of.
    groups: Vec<String>,
    /// What whoever joins is to be, in your own words.
    #[schema(required = true)]
    role: Option<String>,
    /// For the site's admins.
    #[schema(required = true)]
    note: Option<String>,
    /// Whether whoever joins has to wait for approval.
    requires_approval: bool,
    /// How many may join with it.
    uses_allowed: i32,
    /// How many wait for approval.
    uses_pending: i32,
    /// How many have joined.
    uses_completed: i32,
    created_at: Time,
    /// The key with which it was made.
    #[schema(required = true)]
    created_by: Option<KeyRef>,
    /// When it ends by itself.
    #[schema(required = true)]
    expires_at: Option<Time>,
    /// When it was revoked.
    #[schema(required = true)]
    revoked_at: Option<Time>,
}

/// An invite with a code that is told for the only time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeInvite {
    #[serde(flatten)]
    about: Invite,
    /// The code, to read out and to type.
    #[schema(example = "7K4M-Q2XD-9TRA")]
    code: String,
    /// The page that tells the person what to do; null where there are no such pages.
    #[schema(required = true)]
    link: Option<String>,
    /// The link as a QR code, an SVG picture.
    #[schema(required = true)]
    qr_svg: Option<String>,
}

impl Invite {
    pub(crate) fn of(invite: &InviteRecord) -> Self {
        Self {
            id: InviteRef::of(invite.id().0),
            state: Word(invite.usage.state(Time::now().0)),
            alias: invite.alias.clone(),
            external_id: invite.external_id.clone(),
            groups: invite.groups.clone(),
            role: invite.role.clone(),
            note: invite.note.clone(),
            requires_approval: invite.requires_approval,
            uses_allowed: invite.usage.uses_allowed,
            uses_pending: invite.usage.uses_pending,
            uses_completed: invite.usage.uses_completed,
            created_at: Time(invite.created_at),
            created_by: invite.created_by.map(KeyRef::of),
            expires_at: invite.usage.expires_at.map(Time),
            revoked_at: invite.usage.revoked_at.map(Time),
        }
    }
}

impl MadeInvite {
    /// The invite with its code and all that follows from it. `domains` are the site's.
    fn of(api: &Api, domains: &[String], invite: &InviteRecord, code: &InviteCode) -> Self {
        let link = link(api, domains, invite.site, code);
        let qr_svg = link.as_deref().and_then(qr);
        Self { about: Invite::of(invite), code: code.reveal(), link, qr_svg }
    }
}

/// The page of an invite, where there are such pages. `domains` are the site's.
fn link(api: &Api, domains: &[String], site: SiteId, code: &InviteCode) -> Option<String> {
    let domain = domains.iter().find(|domain| !domain.starts_with('*'));
    let name = domain.cloned().unwrap_or_else(|| site.to_string());
    api.config.public.url.as_ref().map(|url| Issuer::link(url, &name, code))
}

/// A code that nobody guesses.
fn random_code() -> Result<InviteCode, Problem> {
    getrandom::u64().map(InviteCode::from_random).map_err(|_| Problem::internal())
}

/// The site's host names; and whether there is such a site, which the caller has the key for.
async fn domains<P>(caller: &Caller<P>, site: SiteId) -> Result<Vec<String>, Problem> {
    let found = caller.read().await?.site(site).await?;
    Ok(found.ok_or_else(Problem::not_found)?.domains)
}

async fn note(
    change: &mut Change,
    action: &'static str,
    site: SiteId,
    before: Option<&Invite>,
    after: &Invite,
) -> Result<(), Problem> {
    let target = after.id.to_string();
    change.note(Note { site: Some(site), action, target: &target, before, after: Some(after) }).await
}
