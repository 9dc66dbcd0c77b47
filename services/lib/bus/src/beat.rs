//! Beats: the leases of gateways and workers, and how a process finds out that Redis lost data.
//!
//! A process counts its beats and writes the number. If the number that it finds is not the one that it wrote last,
//! Redis went back to an older state, and with it may have gone commands and events that nobody will send again
//! unless told to.

use std::sync::PoisonError;
use std::time::Duration;

use redis::pipe;
use tmtp_domain::{GatewayId, WorkerId};
use uuid::Uuid;

use crate::{Bus, Error, keys};

/// What a beat found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// True when Redis still knew the previous beat and is the same server as then. When false, Redis may have lost
    /// any of the entries since then.
    pub intact: bool,
    /// The newest revision in the directory of sites; 0 when it is empty.
    pub sites_revision: i64,
    /// The same of the directory of certificates.
    pub certificates_revision: i64,
}

impl Bus {
    /// Writes this gateway's beat and tells whether Redis kept the last one.
    ///
    /// `beat` grows with every attempt; `previous` is the last that was confirmed (0: none yet). A beat whose answer
    /// was lost may have been written, so anything from `previous` up to `beat` counts as kept.
    pub async fn gateway_beat(&self, gateway: GatewayId, previous: u64, beat: u64) -> Result<Beat, Error> {
        self.beat(keys::GATEWAYS, gateway.0, previous, beat).await
    }

    /// The same for a worker.
    pub async fn worker_beat(&self, worker: WorkerId, previous: u64, beat: u64) -> Result<Beat, Error> {
        self.beat(keys::WORKERS, worker.0, previous, beat).await
    }

    /// Gives the lease up and removes the gateway's event stream.
    pub async fn gateway_leave(&self, gateway: GatewayId) -> Result<(), Error> {
        self.forget(keys::GATEWAYS, gateway.0).await?;
        self.forget_state(gateway.0).await?;
        self.link.command(redis::cmd("DEL").arg(keys::events(gateway))).await
    }

    /// Gives the worker's lease up.
    pub async fn worker_leave(&self, worker: WorkerId) -> Result<(), Error> {
        self.forget(keys::WORKERS, worker.0).await
    }

    /// Removes what a gateway has left behind whose beat has stopped. Safe to repeat.
    pub async fn forget_gateway(&self, gateway: GatewayId) -> Result<(), Error> {
        self.gateway_leave(gateway).await
    }

    /// Removes a worker whose beat has stopped. Safe to repeat.
    pub async fn forget_worker(&self, worker: WorkerId) -> Result<(), Error> {
        self.worker_leave(worker).await
    }

    /// All gateways that have beaten and not left, with their last beat. Whether a beat still moves is for the
    /// caller to watch: the clocks of two machines are not compared.
    pub async fn live_gateways(&self) -> Result<Vec<(GatewayId, u64)>, Error> {
        Ok(self.beats(keys::GATEWAYS).await?.into_iter().map(|(id, beat)| (GatewayId(id), beat)).collect())
    }

    /// The same for workers.
    pub async fn live_workers(&self) -> Result<Vec<(WorkerId, u64)>, Error> {
        Ok(self.beats(keys::WORKERS).await?.into_iter().map(|(id, beat)| (WorkerId(id), beat)).collect())
    }

    /// For how long Redis has not been emptied, at least. One that is found empty is new from now on.
    pub async fn age(&self) -> Result<Duration, Error> {
        let ((seconds, micros), since): ((u64, u64), Option<u64>) =
            self.link.pipeline(pipe().cmd("TIME").cmd("GET").arg(keys::SINCE)).await?;
        let now = seconds * 1_000_000 + micros;
        if let Some(since) = since {
            return Ok(Duration::from_micros(now.saturating_sub(since)));
        }
        self.link.command::<()>(redis::cmd("SET").arg(keys::SINCE).arg(now).arg("NX")).await?;
        Ok(Duration::ZERO)
    }

    async fn beat(&self, hash: &str, id: Uuid, previous: u64, beat: u64) -> Result<Beat, Error> {
        let field = id.to_string();
        let (old, sites, certificates): (Option<String>, Option<i64>, Option<i64>) = self
            .link
            .pipeline(
                pipe()
                    .atomic()
                    .cmd("HGET")
                    .arg(hash)
                    .arg(&field)
                    .cmd("HSET")
                    .arg(hash)
                    .arg(&field)
                    .arg(beat)
                    .ignore()
                    .cmd("HGET")
                    .arg(keys::SITES_META)
                    .arg("revision")
                    .cmd("HGET")
                    .arg(keys::CERTIFICATES_META)
                    .arg("revision"),
            )
            .await?;
        let old = old.map_or(Some(0), |text| text.parse().ok());
        let kept = old.is_some_and(|old| (previous..beat.max(previous + 1)).contains(&old));
        let same_server = self.same_server(hash, &field);
        Ok(Beat {
            intact: kept && same_server,
            sites_revision: sites.unwrap_or(0),
            certificates_revision: certificates.unwrap_or(0),
        })
    }

    /// Whether the server is the process that the last beat of this id was written to. A restart from disk and a
    /// failover to a replica can keep a beat and lose what came after it.
    fn same_server(&self, hash: &str, field: &str) -> bool {
        let life = self.link.life();
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        lives.insert(format!("{hash}/{field}"), life).is_none_or(|last| last == life)
    }

    async fn forget(&self, hash: &str, id: Uuid) -> Result<(), Error> {
        let field = id.to_string();
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).remove(&format!("{hash}/{field}"));
        self.link.command(redis::cmd("HDEL").arg(hash).arg(field)).await
    }

    async fn beats(&self, hash: &str) -> Result<Vec<(Uuid, u64)>, Error> {
        let fields: Vec<(String, String)> = self.link.command(redis::cmd("HGETALL").arg(hash)).await?;
        // What is not an id with a number is not ours to judge.
        Ok(fields.into_iter().filter_map(|(id, beat)| Some((id.parse().ok()?, beat.parse().ok()?))).collect())
    }
}
