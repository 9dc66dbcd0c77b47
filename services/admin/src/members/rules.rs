//! `PATCH /v1/sites/{site}/members/{uid}/rules`: what a member may do, and whether it is away.

use axum::http::StatusCode;
use serde::Deserialize;
use tmtp_contract::{AdminChange, SetAway};
use tmtp_domain::Away;
use utoipa::ToSchema;

use super::{Member, find};
use crate::api::Problem;
use crate::api::ask::Todo;
use crate::api::caller::{Caller, may};
use crate::api::change::Answer;
use crate::api::id::SiteRef;
use crate::api::openapi::ChangeRefusals;
use crate::api::patch::Patch;
use crate::api::payload::{Payload, Place};
use crate::api::time::Time;
use crate::api::uid::UidText;

/// What a ping can say: octets, and units of UTF-16.
const TEXT_MAX: (usize, usize) = (420, 140);

/// What is to be different about what a member may do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberRulesPatch {
    /// It gets messages and cannot send any: no posts, pings and invitations.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    receive_only: Patch<bool>,
    /// It is away; null: it is there again.
    #[serde(default)]
    #[schema(value_type = Option<NewAway>)]
    away: Patch<NewAway>,
}

/// That a member is away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAway {
    /// What those are told who post to the member or ping it, each once a day, in a ping that comes from the member.
    #[schema(min_length = 1, max_length = 140)]
    text: String,
    /// When it is there again; absent: when you say so.
    until: Option<Time>,
    /// The uid of a member who gets copies of what is posted to this one by name.
    delegate: Option<UidText>,
}

/// Change what a member may do
#[utoipa::path(patch, path = "/v1/sites/{site}/members/{uid}/rules", operation_id = "update_member_rules",
    tag = "members", security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`")),
    request_body(content(
        (MemberRulesPatch = "application/merge-patch+json"), (MemberRulesPatch = "application/json"))),
    responses((status = 200, description = "The member as it is now", body = Member), ChangeRefusals))]
pub(crate) async fn update(
    caller: Caller<may::WriteMembers>,
    Place((site, uid)): Place<(SiteRef, UidText)>,
    patch: Payload<MemberRulesPatch>,
) -> Answer {
    let known = caller.known_site(site).await?;
    let receive_only = patch.value.receive_only.value("receive_only")?;
    let away = match patch.value.away.nullable() {
        None => None,
        Some(None) => Some(SetAway::Back),
        Some(Some(new)) => Some(SetAway::Away { away: checked(new)? }),
    };
    let target = uid.to_string();
    let change = AdminChange::MemberFlags { uid: uid.0, receive_only, away };
    let done =
        caller.ask(&known, &patch.sent, Todo { action: "member.rules", target: &target, change }).await?;
    done.answer(StatusCode::OK, &Member::of(&find(&caller, site, uid).await?))
}

fn checked(new: NewAway) -> Result<Away, Problem> {
    let text = new.text.trim();
    let fits = text.len() <= TEXT_MAX.0 && text.encode_utf16().count() <= TEXT_MAX.1;
    if text.is_empty() || !fits || text.contains('\0') {
        return Err(Problem::invalid("away.text", format!("give 1 to {} characters", TEXT_MAX.1)));
    }
    if new.until.is_some_and(|until| until <= Time::now()) {
        return Err(Problem::invalid("away.until", "give a time in the future"));
    }
    let delegate = new.delegate.map(|uid| uid.0);
    Ok(Away { text: text.to_owned(), until: new.until.map(|until| until.0), delegate })
}
