//! What policies ask for by the clock: messages that have waited too long, and devices that are quiet. Looked for in the
//! rows, decided by the homes, committed like any batch.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tmtp_contract::MessageRecord;
use tmtp_domain::{ShardId, SiteId};
use tmtp_store::{Error, QuietLimit};

use super::persist::Loaded;
use super::{Engine, now};
use crate::home::{Facts, NodeKey, Old, Quiet, Wanted, World, expired_ids};

/// Messages, or devices, of a site that one look finds at most.
const PER_SITE: i64 = 50;

impl Engine {
    /// One look at all sites here that have a rule. What cannot be read now is looked for again later.
    pub(super) async fn upkeep(&mut self) {
        if let Err(error) = self.expire().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot look for messages that are too old"
            );
        }
        if let Err(error) = self.warn_of_quiet().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot look for quiet devices");
        }
    }

    async fn expire(&mut self) -> Result<(), Error> {
        let at = now();
        let mut limits = expired_ids(&self.sites, at);
        limits.retain(|site, _| self.shard_here(*site).is_some());
        if limits.is_empty() {
            return Ok(());
        }
        let wanted_rows: Vec<_> = limits.iter().map(|(site, id)| (*site, *id)).collect();
        let mut old: HashMap<ShardId, Vec<Old>> = HashMap::new();
        let mut wanted = Wanted::default();
        for row in self.store.old_rows(&wanted_rows, PER_SITE).await? {
            let Some(shard) = self.shard_here(row.site) else { continue };
            // What this release cannot read waits for one that can.
            let Ok(record) = tmtp_contract::decode::<MessageRecord>(&row.header) else { continue };
            let message = record.join(None);
            wanted.members.extend([(row.site, row.uid), (row.site, message.from)]);
            wanted.aliases.extend([(row.site, row.uid), (row.site, message.from)]);
            let key = NodeKey { site: row.site, uid: row.uid, node: row.node };
            old.entry(shard).or_default().push(Old { key, message: Arc::new(message) });
        }
        let Some(mut facts) = self.load_for_upkeep(wanted).await else { return Ok(()) };
        for (shard, old) in old {
            let Some(home) = self.homes.get_mut(&shard) else { continue };
            let world = World { sites: &self.sites, facts: &mut facts };
            let dropped = home.expire(at, &limits, old, &world);
            self.metrics.messages_expired_total.inc_by(u64::try_from(dropped).unwrap_or(u64::MAX));
        }
        self.commit_and_tell(false).await;
        Ok(())
    }

    async fn warn_of_quiet(&mut self) -> Result<(), Error> {
        let limit = |site: &tmtp_domain::Site| {
            let devices = &site.policy.devices;
            Some(QuietLimit {
                site: site.id,
                days: devices.quiet_days?,
                grace_days: devices.quiet_grace_days,
            })
        };
        let here = self.sites.values().filter(|site| self.shard_here(site.id).is_some());
        let limits: Vec<QuietLimit> = here.filter_map(limit).collect();
        if limits.is_empty() {
            return Ok(());
        }
        let mut devices: HashMap<ShardId, Vec<Quiet>> = HashMap::new();
        let mut wanted = Wanted::default();
        for row in self.store.quiet_devices(&limits, PER_SITE).await? {
            let Some(shard) = self.shard_here(row.site) else { continue };
            wanted.members.insert((row.site, row.uid));
            wanted.aliases.insert((row.site, row.uid));
            let key = NodeKey { site: row.site, uid: row.uid, node: row.node };
            let quiet = Quiet { key, label: row.label, is_over: row.is_over };
            devices.entry(shard).or_default().push(quiet);
        }
        let Some(mut facts) = self.load_for_upkeep(wanted).await else { return Ok(()) };
        for (shard, devices) in devices {
            let Some(home) = self.homes.get_mut(&shard) else { continue };
            let world = World { sites: &self.sites, facts: &mut facts };
            home.quiet(now(), devices, &world);
        }
        self.commit_and_tell(false).await;
        Ok(())
    }

    /// Members that are not known, and aliases. `None` when nothing is wanted or it cannot be read.
    async fn load_for_upkeep(&mut self, mut wanted: Wanted) -> Option<Box<Facts>> {
        if wanted.aliases.is_empty() {
            return None;
        }
        let known: HashSet<_> = wanted.members.iter().copied().filter(|key| self.knows(*key)).collect();
        wanted.members.retain(|key| !known.contains(key));
        match self.load(wanted).await {
            Loaded::Ready(facts) => Some(facts),
            Loaded::Refused | Loaded::Ended => None,
        }
    }

    fn knows(&self, (site, uid): (SiteId, tmtp_domain::Uid)) -> bool {
        let home = self.shard_here(site).and_then(|shard| self.homes.get(&shard));
        home.is_some_and(|home| home.knows(site, uid))
    }

    /// The site's shard, if its home is here.
    fn shard_here(&self, site: SiteId) -> Option<ShardId> {
        let shard = self.sites.get(&site)?.shard;
        self.homes.contains_key(&shard).then_some(shard)
    }
}
