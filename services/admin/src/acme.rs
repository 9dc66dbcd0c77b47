//! Orders certificates from an authority and renews them in time (ACME, RFC 8555), for the domains for which that is
//! switched on. Every admin server may: a lease on the domain's row sees to it that one at a time works on it, and that
//! another goes on when that one dies.
//!
//! It must never press an authority: one order at a time, longer and longer pauses after failures, and a pause for
//! everything when the authority says that it is too much.

mod account;
pub(crate) mod endpoints;
mod order;
mod pause;

use std::time::Duration;

use anyhow::Context as _;
use tmtp_bus::Bus;
use tmtp_chassis::Context;
use tmtp_seal::Sealer;
use tmtp_store::{AcmeDomain, CertificateSource, Store};
use tokio::time::{Instant, MissedTickBehavior, timeout};
use uuid::Uuid;

use crate::Config;
use crate::certificates::{check, now_ms, prepare};
use crate::metrics::{ACME_STATES, AdminMetrics};
use account::Accounts;
use order::{Error, Issued};

/// No order takes longer: what is slower is broken off, and is begun again.
const ORDER_MAX: Duration = Duration::from_mins(4);
/// How long a domain is left to one server: longer than an order, and what is done with it.
const LEASE: Duration = Duration::from_mins(6);

/// What works on the orders of this server.
struct Driver {
    config: Config,
    sealer: Sealer,
    metrics: AdminMetrics,
    /// By this the leases of this process are known.
    owner: Uuid,
    accounts: Accounts,
    store: Store,
    /// When it was reached for the first time.
    bus: Option<Bus>,
    /// The authority wants to be left alone until then.
    quiet_until: Option<Instant>,
}

/// Starts to order, if the configuration says so.
pub(crate) fn start(cx: &Context<Config>, store: Store, metrics: AdminMetrics) -> anyhow::Result<()> {
    if !cx.config.acme.enabled {
        tracing::info!("acme.enabled is false: no certificates are ordered");
        return Ok(());
    }
    let driver = Driver {
        sealer: cx.config.sealer().context("read secrets.key")?.context("secrets.key is required")?,
        config: cx.config.as_ref().clone(),
        metrics,
        owner: Uuid::new_v4(),
        accounts: Accounts::new(cx.config.acme.clone()),
        store,
        bus: None,
        quiet_until: None,
    };
    let drain = cx.life.drain();
    cx.life.spawn("acme", async move {
        // What is broken off here is begun again by another when the lease is over.
        drain.run_until_cancelled(driver.run()).await;
        Ok(())
    });
    Ok(())
}

impl Driver {
    async fn run(mut self) {
        let mut ticks = tokio::time::interval(self.config.acme.look_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.round().await {
                tracing::warn!(error = format!("{error:#}"), "cannot work on the orders of certificates");
            }
        }
    }

    /// Works on what is due, one after the other.
    async fn round(&mut self) -> anyhow::Result<()> {
        let (store, bus) = (self.store.clone(), self.reach().await?);
        loop {
            self.count(&store).await?;
            if self.quiet_until.is_some_and(|until| Instant::now() < until) {
                return Ok(());
            }
            let due = store.acme_claim(self.owner, LEASE, 1).await.context("look for what is due")?;
            let Some(domain) = due.into_iter().next() else { return Ok(()) };
            self.work(&store, &bus, &domain).await?;
        }
    }

    async fn reach(&mut self) -> anyhow::Result<Bus> {
        let bus = match &mut self.bus {
            Some(bus) => bus,
            None => self.bus.insert(Bus::connect(self.config.redis.url.expose()).await?),
        };
        Ok(bus.clone())
    }

    /// Orders for one domain and keeps what comes of it.
    async fn work(&mut self, store: &Store, bus: &Bus, domain: &AcmeDomain) -> anyhow::Result<()> {
        tracing::info!(site.id = %domain.site, attempts = domain.attempts, "ordering a certificate");
        let result = match timeout(ORDER_MAX, self.order(store, bus, domain)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Late),
        };
        let failure = match result {
            Ok(()) => {
                self.metrics.acme_orders_total.with_label_values(&["issued"]).inc();
                return Ok(());
            }
            Err(failure) => failure,
        };
        self.metrics.acme_orders_total.with_label_values(&["failed"]).inc();
        if failure.is_about_the_account() {
            self.accounts.forget(store).await?;
        }
        let acme = &self.config.acme;
        let mut pause = pause::after(domain.attempts, acme.retry_min, acme.retry_max, fastrand::f64());
        if failure.is_too_much() {
            pause = pause.max(pause::TOO_MUCH);
            self.quiet_until = Some(Instant::now() + pause::QUIET);
        }
        tracing::warn!(
            site.id = %domain.site, ?pause, error = &failure as &dyn std::error::Error,
            "a certificate was not issued"
        );
        let said = failure.said();
        store.acme_failed(self.owner, domain, &said, pause).await.context("keep why it failed")
    }

    async fn order(&mut self, store: &Store, bus: &Bus, domain: &AcmeDomain) -> Result<(), Error> {
        let account = self.accounts.get(store, &self.sealer).await?;
        let ordered = order::order(&account, bus, &domain.domain).await;
        // Whatever came of it: nobody else may be told that the domain is this account's.
        if let Err(error) = bus.withdraw_challenge(&domain.domain).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot withdraw a challenge");
        }
        let Issued { chain, key } = ordered?;
        let (checked, key) = check(&chain, &key, std::slice::from_ref(&domain.domain), now_ms())?;
        let renew_at = pause::renewal(checked.not_before, checked.not_after);
        let certificate = prepare(&self.sealer, domain.site, CertificateSource::Acme, checked, &key)?;
        let kept = store.acme_issued(self.owner, &domain.domain, &certificate, renew_at).await?;
        let Some(kept) = kept else {
            tracing::warn!(site.id = %domain.site, "a certificate came when nobody wanted it any more");
            return Ok(());
        };
        tracing::info!(site.id = %kept.site, certificate.id = %kept.id, "certificate issued");
        Ok(())
    }

    async fn count(&self, store: &Store) -> anyhow::Result<()> {
        let states = store.acme_states().await.context("count the domains")?;
        for &label in ACME_STATES {
            let count =
                states.iter().find(|(state, _)| state.as_str() == label).map_or(0, |(_, count)| *count);
            self.metrics.acme_domains.with_label_values(&[label]).set(count);
        }
        Ok(())
    }
}
