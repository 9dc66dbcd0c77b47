//! Whether a member is let in.

use axum::http::StatusCode;
use serde::Deserialize;
use tmtp_contract::AdminChange;
use tmtp_domain::MemberStatus;
use utoipa::ToSchema;

use super::{Member, find};
use crate::api::Problem;
use crate::api::ask::Todo;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Empty, OnceParams};
use crate::api::id::SiteRef;
use crate::api::openapi::ChangeRefusals;
use crate::api::payload::{Payload, Place, Sent};
use crate::api::time::Time;
use crate::api::uid::UidText;
use crate::sites::check_text;

/// Characters of a reason.
const REASON_MAX: usize = 1_000;
/// Octets of what the member is told: it becomes part of one frame.
const NOTICE_MAX: usize = 500;

/// Why a member is suspended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMemberSuspension {
    /// For admins.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// What the member's clients are told when their sessions end.
    #[schema(min_length = 1, max_length = 500)]
    notice: Option<String>,
    /// When it ends by itself; never when absent.
    until: Option<Time>,
}

/// Suspend a member
///
/// Its sessions are closed at once, and it cannot log in until it is resumed. Messages to it wait.
#[utoipa::path(post, path = "/v1/sites/{site}/members/{uid}/suspend", operation_id = "suspend_member",
    tag = "members", security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`"), OnceParams),
    request_body = NewMemberSuspension,
    responses((status = 200, description = "The member, suspended", body = Member), ChangeRefusals))]
pub(crate) async fn suspend(
    caller: Caller<may::WriteMembers>,
    Place(place): Place<(SiteRef, UidText)>,
    new: Payload<NewMemberSuspension>,
) -> Answer {
    caller.site(place.0)?;
    let reason = check_text("reason", &new.value.reason, REASON_MAX)?;
    let notice = new.value.notice.map(|text| check_text("notice", &text, NOTICE_MAX)).transpose()?;
    if new.value.until.is_some_and(|until| until <= Time::now()) {
        return Err(Problem::invalid("until", "give a time in the future").into());
    }
    let until = new.value.until.map(|time| time.0);
    let change = AdminChange::Suspend { uid: place.1.0, reason, notice, until };
    turn(&caller, place, &new.sent, "member.suspend", change).await
}

/// Let a member in again
///
/// One that was suspended gets what was sent meanwhile, one that was deactivated what is sent from now on.
#[utoipa::path(post, path = "/v1/sites/{site}/members/{uid}/resume", operation_id = "resume_member",
    tag = "members", security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`"), OnceParams),
    request_body(content = Option<Empty>, description = "Nothing, or `{}`"),
    responses((status = 200, description = "The member, active", body = Member), ChangeRefusals))]
pub(crate) async fn resume(
    caller: Caller<may::WriteMembers>,
    Place(place): Place<(SiteRef, UidText)>,
    nothing: Payload<Empty>,
) -> Answer {
    let change = AdminChange::MemberStatus { uid: place.1.0, status: MemberStatus::Active };
    turn(&caller, place, &nothing.sent, "member.resume", change).await
}

/// Deactivate a member
///
/// Its sessions are closed, what waits for it is dropped, and it receives nothing. It keeps its aliases, so that nobody
/// else can pass for it.
#[utoipa::path(post, path = "/v1/sites/{site}/members/{uid}/deactivate", operation_id = "deactivate_member",
    tag = "members", security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`"), OnceParams),
    request_body(content = Option<Empty>, description = "Nothing, or `{}`"),
    responses((status = 200, description = "The member, deactivated", body = Member), ChangeRefusals))]
pub(crate) async fn deactivate(
    caller: Caller<may::WriteMembers>,
    Place(place): Place<(SiteRef, UidText)>,
    nothing: Payload<Empty>,
) -> Answer {
    let change = AdminChange::MemberStatus { uid: place.1.0, status: MemberStatus::Deactivated };
    turn(&caller, place, &nothing.sent, "member.deactivate", change).await
}

/// Approve a member
///
/// One that waits for approval: it may log in, its use of an invite is completed, and it belongs to the invite's groups.
#[utoipa::path(post, path = "/v1/sites/{site}/members/{uid}/approve", operation_id = "approve_member",
    tag = "members", security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`"), OnceParams),
    request_body(content = Option<Empty>, description = "Nothing, or `{}`"),
    responses((status = 200, description = "The member, active", body = Member), ChangeRefusals))]
pub(crate) async fn approve(
    caller: Caller<may::WriteMembers>,
    Place(place): Place<(SiteRef, UidText)>,
    nothing: Payload<Empty>,
) -> Answer {
    decide(&caller, place, &nothing.sent, true).await
}

/// Deny a member
///
/// One that waits for approval: it is deactivated, its aliases are free, and its use of an invite is given back.
#[utoipa::path(post, path = "/v1/sites/{site}/members/{uid}/deny", operation_id = "deny_member",
    tag = "members", security(("key" = ["members:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`"), OnceParams),
    request_body(content = Option<Empty>, description = "Nothing, or `{}`"),
    responses((status = 200, description = "The member, deactivated", body = Member), ChangeRefusals))]
pub(crate) async fn deny(
    caller: Caller<may::WriteMembers>,
    Place(place): Place<(SiteRef, UidText)>,
    nothing: Payload<Empty>,
) -> Answer {
    decide(&caller, place, &nothing.sent, false).await
}

async fn decide<P>(caller: &Caller<P>, (site, uid): (SiteRef, UidText), sent: &Sent, admits: bool) -> Answer {
    let names = find(caller, site, uid).await?.aliases;
    let groups = caller.read().await?.awaited_groups(caller.site(site)?, uid.0).await?;
    let change = AdminChange::Decide { uid: uid.0, admits, names, groups };
    turn(caller, (site, uid), sent, if admits { "member.approve" } else { "member.deny" }, change).await
}

async fn turn<P>(
    caller: &Caller<P>,
    (site, uid): (SiteRef, UidText),
    sent: &Sent,
    action: &'static str,
    change: AdminChange,
) -> Answer {
    let known = caller.known_site(site).await?;
    let target = uid.to_string();
    let done = caller.ask(&known, sent, Todo { action, target: &target, change }).await?;
    done.answer(StatusCode::OK, &Member::of(&find(caller, site, uid).await?))
}
