//! The cluster as its operator sees it: gateways, workers, shards, and what waits in the streams. Gateways are drained
//! and taken back.

use std::collections::HashMap;

use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use tmtp_bus::{Bus, GatewayState, StreamId};
use tmtp_domain::{GatewayId, ShardId};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Empty, Note, OnceParams, Shown};
use crate::api::id::{GatewayRef, WorkerRef};
use crate::api::openapi::{ChangeRefusals, Refusals};
use crate::api::payload::{Payload, Place, Sent};
use crate::api::time::Time;
use crate::api::{Api, Problem};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(drain)).routes(routes!(undrain))
}

/// The cluster at this moment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cluster {
    /// Those that have joined and not left. One that was killed is here until its lease is over.
    gateways: Vec<Gateway>,
    workers: Vec<Worker>,
    shards: Vec<Shard>,
    /// Entries of command streams that no worker has committed.
    entries: u64,
    /// Milliseconds since the oldest of them was written; 0 when nothing waits.
    lag_ms: i64,
}

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Gateway {
    /// New with each start of its process.
    id: GatewayRef,
    /// Connections of clients that are open.
    links: u64,
    /// An admin wants it to take no links.
    drain_wanted: bool,
    /// It takes no links, because an admin wants that.
    drained: bool,
}

/// A worker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Worker {
    /// New with each start of its process.
    id: WorkerRef,
    /// Milliseconds until its lease is over unless it renews it; negative when it has not.
    lease_left_ms: i64,
    /// How many shards it owns.
    shards: usize,
}

/// A shard: a part of all sites.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Shard {
    /// Its number.
    #[serde(rename = "shard")]
    number: u16,
    /// The worker that owns it.
    #[schema(required = true)]
    owner: Option<WorkerRef>,
    /// How often it has changed hands.
    epoch: i64,
    commits: i64,
    /// Entries of its command stream that are not committed.
    entries: u64,
    /// Milliseconds since the oldest of them was written; 0 when nothing waits.
    lag_ms: i64,
}

/// Show the cluster
#[utoipa::path(get, path = "/v1/cluster", operation_id = "get_cluster", tag = "cluster",
    security(("key" = ["cluster:read"])),
    responses((status = 200, description = "The cluster at this moment", body = Cluster), Refusals))]
pub(crate) async fn show(caller: Caller<may::ReadCluster>) -> Shown<Cluster> {
    let bus = bus(&caller)?;
    let (shards, workers) = caller.read().await?.cluster().await?;
    let ids: Vec<ShardId> = shards.iter().map(|shard| shard.shard).collect();
    let backlog: HashMap<ShardId, _> =
        bus.command_backlog(&ids).await.map_err(unavailable)?.into_iter().collect();
    let now = Time::now().0;
    // Redis numbers entries by its own clock, which may be ahead.
    let age = |oldest: StreamId| now.saturating_sub(i64::try_from(oldest.ms).unwrap_or(i64::MAX)).max(0);
    let shown: Vec<Shard> = shards
        .iter()
        .map(|shard| {
            let backlog = backlog.get(&shard.shard).copied().unwrap_or_default();
            Shard {
                number: shard.shard.0,
                owner: shard.owner.map(|worker| WorkerRef::of(worker.0)),
                epoch: shard.epoch.0,
                commits: shard.commits,
                entries: backlog.entries,
                lag_ms: backlog.oldest.map_or(0, age),
            }
        })
        .collect();
    let workers = workers
        .into_iter()
        .map(|lease| Worker {
            id: WorkerRef::of(lease.worker.0),
            lease_left_ms: lease.left_ms,
            shards: shards.iter().filter(|shard| shard.owner == Some(lease.worker)).count(),
        })
        .collect();
    Ok(Json(Cluster {
        gateways: gateways(bus).await?,
        workers,
        entries: shown.iter().map(|shard| shard.entries).sum(),
        lag_ms: shown.iter().map(|shard| shard.lag_ms).max().unwrap_or_default(),
        shards: shown,
    }))
}

async fn gateways(bus: &Bus) -> Result<Vec<Gateway>, Problem> {
    let mut ids: Vec<GatewayId> =
        bus.live_gateways().await.map_err(unavailable)?.into_iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    let states = bus.gateway_states(&ids).await.map_err(unavailable)?;
    Ok(ids.into_iter().zip(states).map(|(id, state)| Gateway::of(id, state)).collect())
}

impl Gateway {
    fn of(id: GatewayId, state: GatewayState) -> Self {
        let GatewayState { links, is_drained, drain_wanted } = state;
        Self { id: GatewayRef::of(id.0), links, drain_wanted, drained: is_drained }
    }
}

/// Drain a gateway
///
/// Within seconds it is not ready any longer, closes its port, and lets its clients go, who come back at others. It stays
/// in the cluster and takes links again when it is asked to, when it is restarted, or when Redis has lost its data.
#[utoipa::path(post, path = "/v1/cluster/gateways/{gateway}/drain", operation_id = "drain_gateway", tag = "cluster",
    security(("key" = ["cluster:write"])),
    params(("gateway" = GatewayRef, Path, description = "The gateway's id"), OnceParams),
    request_body(content = Option<Empty>, description = "Nothing, or `{}`"),
    responses((status = 200, description = "The gateway", body = Gateway), ChangeRefusals))]
pub(crate) async fn drain(
    caller: Caller<may::WriteCluster>,
    Place(id): Place<GatewayRef>,
    nothing: Payload<Empty>,
) -> Answer {
    ask(&caller, id, &nothing.sent, true).await
}

/// Have a drained gateway take links again
#[utoipa::path(post, path = "/v1/cluster/gateways/{gateway}/undrain", operation_id = "undrain_gateway",
    tag = "cluster", security(("key" = ["cluster:write"])),
    params(("gateway" = GatewayRef, Path, description = "The gateway's id"), OnceParams),
    request_body(content = Option<Empty>, description = "Nothing, or `{}`"),
    responses((status = 200, description = "The gateway", body = Gateway), ChangeRefusals))]
pub(crate) async fn undrain(
    caller: Caller<may::WriteCluster>,
    Place(id): Place<GatewayRef>,
    nothing: Payload<Empty>,
) -> Answer {
    ask(&caller, id, &nothing.sent, false).await
}

async fn ask<P>(caller: &Caller<P>, id: GatewayRef, sent: &Sent, drain: bool) -> Answer {
    let bus = bus(caller)?;
    let mut change = caller.begin_post(sent).await?;
    let found = gateways(bus).await?.into_iter().find(|gateway| gateway.id == id);
    let before = found.ok_or_else(Problem::not_found)?;
    // Before the commit: what is noted has been asked for. Asking again changes nothing.
    bus.ask_to_drain(GatewayId(id.0), drain).await.map_err(unavailable)?;
    let after = Gateway { drain_wanted: drain, ..before.clone() };
    let action = if drain { "gateway.drain" } else { "gateway.undrain" };
    let target = id.to_string();
    change
        .note(Note { site: None, action, target: &target, before: Some(&before), after: Some(&after) })
        .await?;
    change.answer(StatusCode::OK, &after).await
}

/// The bus, for keys that are not for some sites only: the cluster is of all of them.
fn bus<P>(caller: &Caller<P>) -> Result<&Bus, Problem> {
    if caller.sites().is_some() {
        return Err(Problem::not_found());
    }
    caller.api.homes.bus().ok_or_else(Problem::unavailable)
}

fn unavailable(error: tmtp_bus::Error) -> Problem {
    tracing::warn!(error = &error as &dyn std::error::Error, "Redis is not available to a request");
    Problem::unavailable()
}
