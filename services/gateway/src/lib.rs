//! The gateway: terminates TLS, finds the site by SNI, speaks TMTP, and turns requests into commands and events into
//! frames. Gateways are interchangeable; one must never hold anything that may not be lost, and must never open a
//! database connection except through the body store.
//!
//! | module | is |
//! |---|---|
//! | `accept` | takes connections, shakes hands, starts links |
//! | `drain` | takes links or none, as an admin wants |
//! | `link` | one connection: moves octets between its socket and its session |
//! | `session` | what a link means to the cluster; a pure state machine |
//! | `hub` | all sessions of this gateway, and everything they share: publisher, events, lease, clock |
//! | `sites`, `tls` | which site and which certificate a client gets |
//! | `sign_in` | whose token is this that somebody registers with |
//!
//! All that changes a session happens under its lock and in one place, [`hub::Hub`]'s `turn`; what the session
//! publishes is queued before the lock is let go. So the order of a session's commands is the order of its turns.

mod accept;
mod config;
mod drain;
mod hub;
mod link;
mod metrics;
#[cfg(test)]
mod rig;
pub mod session;
mod sign_in;
mod sites;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tmtp_bodies::Bodies;
use tmtp_bus::Bus;
use tmtp_chassis::{Context, Health, Serving};
use tokio_util::sync::CancellationToken;

pub use config::{Config, Limits, Listen, ProxyProtocol, SignIn, SitesConfig, TlsConfig};
pub use metrics::Metrics;

use hub::{BusTask, Hub};
use sign_in::SignIns;
use sites::Sites;
use tls::{Certificates, SiteCertificates, Tls};

/// How often the body store is asked whether it answers.
const BODIES_PING_EVERY: Duration = Duration::from_secs(2);

/// Serves until the process is asked to stop, then lets the links go and leaves the cluster.
pub fn serve(cx: Context<Config>) -> Serving {
    Box::pin(work(cx))
}

async fn work(cx: Context<Config>) -> anyhow::Result<()> {
    let config = &cx.config;
    let metrics = Metrics::register(&cx.registry).context("register metrics")?;
    let bus = Bus::connect(config.redis.url.expose()).await.context("connect to Redis")?;
    let checked = bus.wait_for_policy(|found| cx.health.set("redis policy", found));
    match cx.life.drain().run_until_cancelled(checked).await {
        Some(checked) => checked.context("check the set-up of Redis")?,
        None => return Ok(()),
    }
    let bodies = Bodies::open(&config.bodies).context("open the body store")?;
    // Ready is who has looked at each of them once.
    for check in ["bus", "bodies", "certificates"] {
        cx.health.expect(check);
    }
    let sites = Arc::new(Sites::new(config.sites.default.as_deref()));
    let certificates = Arc::new(Certificates::new(config.tls.certificates.clone()));
    let sign_ins = SignIns::new(&config.sign_in, metrics.clone()).context("set sign-in up")?;
    let hub = Arc::new(Hub::new(config, metrics, bodies.clone(), sign_ins, Arc::clone(&sites)));
    let base = tls::server_config(Arc::clone(&certificates), Arc::clone(&sites)).context("set TLS up")?;
    let of_sites = Arc::new(SiteCertificates::new(
        config.sealer().context("read secrets.key")?,
        bus.clone(),
        Arc::clone(&base),
        hub.metrics.clone(),
        config.tls.ready_max,
    ));

    // What the links need to say goodbye goes on after the drain has begun.
    let stop = CancellationToken::new();
    let mut bus_task = BusTask::new(
        Arc::clone(&hub),
        bus.clone(),
        Arc::clone(&sites),
        Arc::clone(&of_sites),
        cx.health.clone(),
        config,
    );
    bus_task.begin().await.context("join the cluster")?;
    certificates.load(&hub.metrics, &cx.health).await;
    cx.life.spawn("publish", hub::publish(Arc::clone(&hub), bus.clone(), stop.clone()));
    cx.life.spawn("bus", bus_task.run(stop.clone()));
    cx.life.spawn("sweep", hub::sweep(Arc::clone(&hub), stop.clone()));
    cx.life.spawn("ping bodies", ping_bodies(bodies, cx.health.clone(), stop.clone()));
    cx.life.spawn(
        "watch certificates",
        tls::watch(
            certificates,
            config.tls.reload_every,
            hub.metrics.clone(),
            cx.health.clone(),
            stop.clone(),
        ),
    );

    let tls = Tls::new(base, Arc::clone(&sites), of_sites, bus.clone());
    let listener = accept::bind(config.listen.address).context("bind the TMTP listener")?;
    tracing::info!(address = %listener.local_addr()?, gateway = %hub.gateway, "listening for TMTP");
    let proxies = Arc::new(accept::Proxies::new(&config.proxy_protocol, hub.metrics.proxied_total.clone())?);
    let acceptor = accept::Acceptor::new(Arc::clone(&hub), sites, Arc::new(tls), proxies, &config.limits);
    let door = drain::Door {
        hub: Arc::clone(&hub),
        bus,
        health: cx.health.clone(),
        acceptor,
        over: config.listen.drain_over,
    };
    cx.life.spawn("accept", door.run(listener, cx.life.drain()));
    cx.health.ready();

    cx.life.drain().cancelled().await;
    cx.health.not_ready("draining");
    let abort = cx.life.abort();
    tokio::select! {
        () = hub.drain(config.listen.drain_over) => {}
        () = abort.cancelled() => {}
    }
    stop.cancel();
    Ok(())
}

/// Reports whether the body store answers, and recovers by itself.
async fn ping_bodies(bodies: Bodies, health: Health, stop: CancellationToken) -> anyhow::Result<()> {
    let mut clock = tokio::time::interval(BODIES_PING_EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = clock.tick() => {}
            () = stop.cancelled() => return Ok(()),
        }
        tokio::select! {
            result = bodies.ping() => health.set("bodies", result.map_err(|error| format!("{:#}", anyhow::Error::from(error)))),
            () = stop.cancelled() => return Ok(()),
        }
    }
}
