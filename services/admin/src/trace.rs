//! The delivery trace: what became of a message, and never what it says.
//!
//! Steps are in packs in Postgres, which spills write, and those since the last spill in the memory of the site's home.
//! [`gather`] reads both so that no step is missed or told twice; [`tell`] puts them in order.

mod gather;
mod tell;

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::caller::{Caller, may};
use crate::api::change::Shown;
use crate::api::id::{GatewayRef, SiteRef};
use crate::api::msgid::MsgIdText;
use crate::api::openapi::Refusals;
use crate::api::payload::Place;
use crate::api::time::Time;
use crate::api::uid::UidText;
use crate::api::{Api, Problem};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(show))
}

/// What became of a message.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageTrace {
    msgid: MsgIdText,
    /// At how many devices something happened.
    devices: DeviceCounts,
    /// In the order of time.
    steps: Vec<TraceStep>,
    /// Whether these are all steps that were taken. Otherwise those of the last seconds may be missing, because the site's
    /// worker did not answer, or there are too many devices to list them.
    complete: bool,
}

/// At how many devices something happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceCounts {
    /// The message was queued for them.
    queued: u32,
    /// They acked it.
    acked: u32,
    /// It had waited too long for them.
    expired: u32,
    /// It went with their whole queues, or with their members.
    dropped: u32,
    /// It waits for them; null when nobody could say.
    #[schema(required = true)]
    waiting: Option<u32>,
}

/// What happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepWord {
    /// The site's worker took the request that it comes from.
    Accepted,
    /// That is durable, and its sender is told.
    Committed,
    /// It is owed to a device.
    Queued,
    /// It was handed to a gateway that a device is connected to; each time.
    Sent,
    /// A device has it.
    Acked,
    /// It had waited too long for a device, and was dropped.
    Expired,
    /// Its sender was told that it had waited too long.
    Returned,
    /// All that waited for a device was dropped.
    Dropped,
    /// It waited for a device of a member that was erased.
    Erased,
}

/// Why all that waited for a device was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DropWord {
    /// An admin asked for it.
    Admin,
    /// The device was revoked.
    Revoked,
    /// Its member was deactivated, or not let in.
    Deactivated,
    /// It was quiet for longer than the site's policy allows.
    Quiet,
}

/// A step of a message.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraceStep {
    /// When; null for `erased`, as nothing is kept of that.
    #[schema(required = true)]
    at: Option<Time>,
    step: StepWord,
    /// Of `accepted`: the sender. Otherwise whose device. Null for what is not a member's, for members who are erased,
    /// and for devices that are not listed.
    #[schema(required = true)]
    uid: Option<UidText>,
    /// The number of the device within the member.
    #[schema(required = true)]
    device: Option<i16>,
    /// At how many devices: 1, or how many are not listed; null for what is not at devices.
    #[schema(required = true)]
    devices: Option<u32>,
    /// The gateway, of `sent`.
    #[schema(required = true)]
    gateway: Option<GatewayRef>,
    /// Why, of `dropped`.
    #[schema(required = true)]
    reason: Option<DropWord>,
}

/// Follow a message
///
/// The steps of a message on its way to the devices of its recipients: accepted, committed, queued for how many and which
/// devices, sent, acked, expired. Never what it says. Steps are kept for some days (`trace.keep` of the workers, 3 days
/// unless set otherwise), and what was `sent` may be missing if a worker died within seconds. A device that was added
/// later shows first with `sent`, when the message had waited for some seconds by then.
#[utoipa::path(get, path = "/v1/sites/{site}/messages/{msgid}/trace", operation_id = "get_message_trace", tag = "messages",
    security(("key" = ["trace:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("msgid" = MsgIdText, Path, description = "The message's id, as its sender was told and its recipients are")),
    responses((status = 200, description = "Its steps", body = MessageTrace), Refusals))]
pub(crate) async fn show(
    caller: Caller<may::ReadTrace>,
    Place((site, id)): Place<(SiteRef, MsgIdText)>,
) -> Shown<MessageTrace> {
    let known = caller.known_site(site).await?;
    let found = gather::gather(&caller, &known, id.0).await?;
    if found.steps.is_empty() && found.waiting.is_none_or(|waiting| waiting == 0) {
        let may_be =
            "The site has no message with this id, or it is older than traces are kept, or none are.";
        return Err(Problem::not_found().detail(may_be));
    }
    Ok(Json(tell::tell(id, found)))
}
