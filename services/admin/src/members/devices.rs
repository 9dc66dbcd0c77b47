//! Devices of a member.

use std::time::Duration;

use axum::Json;
use axum::http::{StatusCode, Uri};
use serde::Serialize;
use tmtp_contract::{AdminChange, AdminOutcome};
use tmtp_domain::{NodeNum, Site};
use tmtp_store::DeviceRecord;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::api::Problem;
use crate::api::ask::Todo;
use crate::api::caller::{Caller, may};
use crate::api::change::Empty;
use crate::api::change::{Answer, OnceParams, Shown};
use crate::api::id::SiteRef;
use crate::api::openapi::{ChangeRefusals, Refusals};
use crate::api::page::{List, Listing, NoFilter, PageParams};
use crate::api::payload::{Payload, Place};
use crate::api::time::Time;
use crate::api::uid::UidText;

/// For so long the site's worker is waited for to say who is online.
const ONLINE_WAIT: Duration = Duration::from_secs(2);

/// A device of a member.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Device {
    /// Its number within the member; never given to another.
    num: i16,
    /// What its user calls it.
    label: String,
    created_at: Time,
    /// When a session there began or ended last, to the minute.
    #[schema(required = true)]
    last_seen_at: Option<Time>,
    /// When it was revoked.
    #[schema(required = true)]
    revoked_at: Option<Time>,
    /// Whether it has a session now; null when nobody could say.
    #[schema(required = true)]
    online: Option<bool>,
    /// Messages that wait for it. Those of the last seconds may not be counted yet.
    queued: i64,
    /// Since when the oldest of them waits.
    #[schema(required = true)]
    oldest_queued_at: Option<Time>,
}

/// How many sessions were closed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Disconnected {
    sessions: u32,
}

/// List the devices of a member
#[utoipa::path(get, path = "/v1/sites/{site}/members/{uid}/devices", operation_id = "list_devices", tag = "devices",
    security(("key" = ["members:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`"), PageParams),
    responses((status = 200, description = "By number, revoked ones included", body = List<Device>), Refusals))]
pub(crate) async fn list(
    caller: Caller<may::ReadMembers>,
    Place((site, uid)): Place<(SiteRef, UidText)>,
    uri: Uri,
    listing: Listing<NoFilter, i16>,
) -> Shown<List<Device>> {
    let (mut read, known) = caller.read_site(site).await?;
    read.member_record(known.id, uid.0).await?.ok_or_else(Problem::not_found)?;
    let records = read.device_records(known.id, uid.0).await?;
    drop(read);
    let online = online(&caller, &known, uid).await;
    let show = |record| device(record, online.as_deref());
    Ok(Json(listing.page_of(uri.path(), records, |record| record.num.0, show)?))
}

fn device(record: DeviceRecord, online: Option<&[NodeNum]>) -> Device {
    Device {
        num: record.num.0,
        label: record.label,
        created_at: Time(record.created_at),
        last_seen_at: record.last_seen_at.map(Time),
        revoked_at: record.revoked_at.map(Time),
        online: online.map(|online| online.contains(&record.num)),
        queued: record.queued,
        oldest_queued_at: record.oldest_at.map(Time),
    }
}

/// Who is online, if the site's worker says so in time.
async fn online<P>(caller: &Caller<P>, site: &Site, uid: UidText) -> Option<Vec<NodeNum>> {
    let target = uid.to_string();
    let todo = Todo { action: "member.online", target: &target, change: AdminChange::Online { uid: uid.0 } };
    let done = timeout(ONLINE_WAIT, caller.ask_anew(site, todo)).await.ok()?.ok()?;
    match done.outcome {
        AdminOutcome::Online { nodes } => Some(nodes),
        _ => None,
    }
}

/// Disconnect a device
///
/// Its session is closed. It may log in again at once.
#[utoipa::path(post, path = "/v1/sites/{site}/members/{uid}/devices/{num}/disconnect",
    operation_id = "disconnect_device", tag = "devices", security(("key" = ["devices:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`"),
           ("num" = i16, Path, description = "The device's number"), OnceParams),
    request_body(content = Option<Empty>, description = "Nothing, or `{}`"),
    responses((status = 200, description = "How many sessions were closed", body = Disconnected), ChangeRefusals))]
pub(crate) async fn disconnect(
    caller: Caller<may::WriteDevices>,
    Place((site, uid, num)): Place<(SiteRef, UidText, i16)>,
    nothing: Payload<Empty>,
) -> Answer {
    let site = caller.known_site(site).await?;
    let change = AdminChange::Disconnect { uid: uid.0, node: Some(NodeNum(num)) };
    let target = name(uid, num);
    let todo = Todo { action: "device.disconnect", target: &target, change };
    let done = caller.ask(&site, &nothing.sent, todo).await?;
    let AdminOutcome::Closed { sessions } = done.outcome else { return Err(Problem::internal().into()) };
    done.answer(StatusCode::OK, &Disconnected { sessions })
}

/// Drop what waits for a device
///
/// Its session is closed, so that it begins anew with what comes after.
#[utoipa::path(post, path = "/v1/sites/{site}/members/{uid}/devices/{num}/drop-queue",
    operation_id = "drop_device_queue", tag = "devices", security(("key" = ["devices:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`"),
           ("num" = i16, Path, description = "The device's number"), OnceParams),
    request_body(content = Option<Empty>, description = "Nothing, or `{}`"),
    responses((status = 204, description = "Nothing waits for it"), ChangeRefusals))]
pub(crate) async fn drop_queue(
    caller: Caller<may::WriteDevices>,
    Place((site, uid, num)): Place<(SiteRef, UidText, i16)>,
    nothing: Payload<Empty>,
) -> Answer {
    let site = caller.known_site(site).await?;
    let change = AdminChange::DropQueue { uid: uid.0, node: NodeNum(num) };
    let target = name(uid, num);
    let todo = Todo { action: "device.drop_queue", target: &target, change };
    Ok(caller.ask(&site, &nothing.sent, todo).await?.no_content())
}

/// Revoke a device
///
/// Its session is closed, what waits for it is dropped, and its password opens nothing any longer. The member may have
/// no device left then, and no way to log in.
#[utoipa::path(delete, path = "/v1/sites/{site}/members/{uid}/devices/{num}", operation_id = "revoke_device",
    tag = "devices", security(("key" = ["devices:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"),
           ("uid" = UidText, Path, description = "The member's uid, its `%` written as `%25`"),
           ("num" = i16, Path, description = "The device's number")),
    responses((status = 204, description = "It is revoked"), ChangeRefusals))]
pub(crate) async fn revoke(
    caller: Caller<may::WriteDevices>,
    Place((site, uid, num)): Place<(SiteRef, UidText, i16)>,
) -> Answer {
    let site = caller.known_site(site).await?;
    let change = AdminChange::RevokeNode { uid: uid.0, node: NodeNum(num) };
    let target = name(uid, num);
    let todo = Todo { action: "device.revoke", target: &target, change };
    Ok(caller.ask_anew(&site, todo).await?.no_content())
}

/// A device as the audit log names it.
fn name(uid: UidText, num: i16) -> String {
    format!("{uid}/{num}")
}
