//! `POST /v1/sites/{site}/invites`

use axum::http::StatusCode;
use serde::Deserialize;
use tmtp_domain::{Alias, InviteId};
use tmtp_store::NewInvite;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Invite, MadeInvite, note, random_code};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, OnceParams};
use crate::api::id::SiteRef;
use crate::api::openapi::ChangeRefusals;
use crate::api::payload::{Payload, Place};
use crate::api::time::Time;
use crate::members::EXTERNAL_ID_MAX;
use crate::sites::hold;

/// Most that may join with one invite.
const USES_MAX: i32 = 10_000;
/// Groups of one invite.
const GROUPS_MAX: usize = 50;
/// Characters of a role or a note.
const TEXT_MAX: usize = 1_000;

/// An invite to be.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InviteToBe {
    /// The alias that whoever joins gets, whatever they ask for; only for one.
    #[schema(min_length = 1, max_length = 255)]
    pub(super) alias: Option<String>,
    /// Who it is for, in your own system. Whoever joins with an invite for one use is called so, unless another member is.
    #[schema(min_length = 1, max_length = 255)]
    external_id: Option<String>,
    /// Names of groups that whoever joins becomes a member of.
    #[serde(default)]
    #[schema(max_items = 50)]
    groups: Vec<String>,
    /// What whoever joins is to be, in your own words: it is kept with the invite, and no right follows from it.
    #[schema(min_length = 1, max_length = 1000)]
    role: Option<String>,
    /// For the site's admins.
    #[schema(min_length = 1, max_length = 1000)]
    note: Option<String>,
    /// How many may join with it; one when absent.
    #[schema(minimum = 1, maximum = 10000)]
    max_uses: Option<i32>,
    /// Whether whoever joins has to wait for approval.
    #[serde(default)]
    requires_approval: bool,
    /// When it ends by itself; never when absent.
    expires_at: Option<Time>,
}

/// Make an invite
///
/// The answer has the code and the link, which are told once; for another one, resend it.
#[utoipa::path(post, path = "/v1/sites/{site}/invites", operation_id = "create_invite", tag = "invites",
    security(("key" = ["invites:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"), OnceParams), request_body = InviteToBe,
    responses((status = 201, description = "The invite", body = MadeInvite), ChangeRefusals))]
pub(crate) async fn create(
    caller: Caller<may::WriteInvites>,
    Place(site): Place<SiteRef>,
    new: Payload<InviteToBe>,
) -> Answer {
    caller.site(site)?;
    let mut change = caller.begin_post(&new.sent).await?;
    let held = hold(&caller, &mut change, site).await?;
    let code = random_code()?;
    let new = check(new.value, code.hash(held.id))?;
    let made = change.tx.create_invites(held.id, Some(caller.key().id), &[new]).await?;
    let made = made.first().ok_or_else(Problem::internal)?;
    note(&mut change, "invite.create", held.id, None, &Invite::of(made)).await?;
    let answer = MadeInvite::of(&caller.api, &held.domains, made, &code);
    change.answer(StatusCode::CREATED, &answer).await
}

/// The invite, or what is wrong with it.
pub(super) fn check(new: InviteToBe, code_hash: [u8; 32]) -> Result<NewInvite, Problem> {
    let max_uses = new.max_uses.unwrap_or(1);
    if !(1..=USES_MAX).contains(&max_uses) {
        return Err(Problem::invalid("max_uses", format!("give a number from 1 to {USES_MAX}")));
    }
    if let Some(alias) = &new.alias {
        Alias::parse(alias).map_err(|error| Problem::invalid("alias", error.to_string()))?;
        if max_uses > 1 {
            return Err(Problem::invalid("alias", "only an invite for one can have an alias"));
        }
    }
    if new.groups.len() > GROUPS_MAX {
        return Err(Problem::invalid("groups", format!("name at most {GROUPS_MAX}")));
    }
    for (index, group) in new.groups.iter().enumerate() {
        let param = || format!("groups[{index}]");
        Alias::parse(group).map_err(|error| Problem::invalid(param(), error.to_string()))?;
        if new.groups[..index].contains(group) {
            return Err(Problem::invalid(param(), "this group is there twice"));
        }
    }
    if new.external_id.as_ref().is_some_and(|id| id.len() > EXTERNAL_ID_MAX) {
        return Err(Problem::invalid("external_id", format!("give at most {EXTERNAL_ID_MAX} octets")));
    }
    for (param, text) in [("external_id", &new.external_id), ("role", &new.role), ("note", &new.note)] {
        if text.as_ref().is_some_and(|text| text.trim().is_empty() || text.chars().count() > TEXT_MAX) {
            return Err(Problem::invalid(param, format!("give 1 to {TEXT_MAX} characters, or leave it out")));
        }
    }
    if new.expires_at.is_some_and(|end| end <= Time::now()) {
        return Err(Problem::invalid("expires_at", "give a time that is still to come"));
    }
    Ok(NewInvite {
        id: InviteId(Uuid::new_v4()),
        code_hash,
        alias: new.alias,
        external_id: new.external_id,
        groups: new.groups,
        role: new.role,
        note: new.note,
        max_uses,
        requires_approval: new.requires_approval,
        expires_at: new.expires_at.map(|time| time.0),
    })
}
