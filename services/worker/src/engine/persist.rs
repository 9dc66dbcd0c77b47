//! Calls of Postgres on behalf of the homes, each tried again until its outcome is certain.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tmtp_contract::{Message, MessageRecord};
use tmtp_domain::{ShardId, SiteId, Uid};
use tmtp_store::{Commit, CommitError, Error, PageRequest, RowMessage, ShardCommit, Spilled};

use super::{Engine, now};
use crate::home::{Home, Wanted};

impl Engine {
    /// Loads what a batch wants. `None` when the process ends, or when it cannot be had.
    pub(super) async fn load(&mut self, wanted: Wanted) -> Option<HashMap<(SiteId, String), Uid>> {
        let members: Vec<_> = wanted.members.into_iter().collect();
        let names: Vec<_> = wanted.names.into_iter().collect();
        let sites: Vec<SiteId> =
            wanted.sites.into_iter().filter(|site| !self.sites.contains_key(site)).collect();
        let mut attempt = 0;
        loop {
            match self.try_load(&members, &names, &sites).await {
                Ok(names) => return Some(names),
                Err(error) if !error.is_transient() => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "Postgres refused what a batch needs; its commands are passed over and will be repeated"
                    );
                    return None;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot load what a batch needs"
                    );
                    if !self.pause(attempt, "postgres").await {
                        return None;
                    }
                    attempt += 1;
                }
            }
        }
    }

    async fn try_load(
        &mut self,
        members: &[(SiteId, Uid)],
        names: &[(SiteId, String)],
        sites: &[SiteId],
    ) -> Result<HashMap<(SiteId, String), Uid>, Error> {
        if !sites.is_empty() {
            let found = self.store.sites(sites).await?;
            self.sites.extend(found.into_iter().map(|site| (site.id, site)));
        }
        if !members.is_empty() {
            for (site, member) in self.store.members(members).await? {
                let shard = self.sites.get(&site).map(|site| site.shard);
                if let Some(home) = shard.and_then(|shard| self.homes.get_mut(&shard)) {
                    home.learn(site, member);
                }
            }
        }
        if names.is_empty() { Ok(HashMap::new()) } else { self.store.names(names).await }
    }

    /// Commits what all homes have decided. Homes whose shard is lost are gone afterwards, and with them whatever they
    /// would have told.
    pub(super) async fn commit(&mut self, progress: bool) -> Vec<ShardId> {
        let mut shards = Vec::new();
        let mut broken = Vec::new();
        for (shard, home) in &mut self.homes {
            match home.take_commit(progress) {
                Ok(commit) => shards.extend(commit),
                Err(error) => {
                    tracing::error!(%shard, error = &error as &dyn std::error::Error, "cannot encode a journal entry");
                    broken.push(*shard);
                }
            }
        }
        for shard in broken {
            self.drop_home(shard);
        }
        let mut commit = Commit { shards };
        let begun = Instant::now();
        let mut attempt = 0;
        let mut certain = Vec::new();
        while !commit.shards.is_empty() {
            match self.store.commit(&commit).await {
                Ok(()) => certain.append(&mut commit.shards),
                Err(CommitError::Fenced) => {
                    self.metrics.commits_fenced_total.inc();
                    certain.append(&mut self.after_fence(&mut commit).await);
                }
                Err(CommitError::Store(error)) if error.is_transient() => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot commit; trying again");
                    if !self.pause(attempt, "postgres").await {
                        self.homes.clear();
                        return Vec::new();
                    }
                    attempt += 1;
                }
                Err(CommitError::Store(error)) => self.give_up(&commit, &error).await,
            }
            if commit.shards.iter().any(|part| !self.homes.contains_key(&part.shard)) {
                commit.shards.retain(|part| self.homes.contains_key(&part.shard));
            }
        }
        let at = now();
        for part in &certain {
            if let Some(home) = self.homes.get_mut(&part.shard) {
                home.committed(part, at);
            }
        }
        if !certain.is_empty() {
            self.metrics.commit_seconds.observe(begun.elapsed().as_secs_f64());
        }
        certain.iter().map(|part| part.shard).collect()
    }

    /// Some shard has moved on: either it is lost, or this very commit has happened and its answer got lost. Returns
    /// the parts that have happened; lost ones leave the commit, and their homes with them.
    async fn after_fence(&mut self, commit: &mut Commit) -> Vec<ShardCommit> {
        let mut attempt = 0;
        let owned = loop {
            match self.store.owned(self.worker).await {
                Ok(owned) => break owned,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot read the shards");
                    if !self.pause(attempt, "postgres").await {
                        self.homes.clear();
                        return Vec::new();
                    }
                    attempt += 1;
                }
            }
        };
        let mut happened = Vec::new();
        for part in std::mem::take(&mut commit.shards) {
            let row = owned.iter().find(|row| row.shard == part.shard && row.epoch == part.epoch);
            match row.map(|row| row.commits - part.commits) {
                Some(0) => commit.shards.push(part),
                Some(1) => happened.push(part),
                Some(_) => {
                    // Somebody else commits under our epoch: never by our own code. Start over under a new one.
                    tracing::error!(shard = %part.shard, "shard has commits that are not ours");
                    self.drop_home(part.shard);
                    if let Err(error) = self.store.release(self.worker, &[part.shard]).await {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "cannot give the shard back"
                        );
                    }
                }
                None => self.lose(part.shard),
            }
        }
        happened
    }

    /// Postgres refuses the batch itself. What was decided cannot stay in memory either, so the shards start over from
    /// what is committed; the gateways send again what was not answered.
    async fn give_up(&mut self, commit: &Commit, error: &Error) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "Postgres refused a commit; its shards start over"
        );
        let shards: Vec<ShardId> = commit.shards.iter().map(|part| part.shard).collect();
        for shard in &shards {
            self.drop_home(*shard);
        }
        if let Err(error) = self.store.release(self.worker, &shards).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot give shards back; their lease has to end"
            );
        }
    }

    /// Spills the homes whose time has come, one after the other.
    pub(super) async fn spill_what_is_due(&mut self) {
        let policy = self.config.spill_policy();
        let at = now();
        let due: Vec<ShardId> =
            self.homes.values().filter(|home| home.spill_is_due(policy, at)).map(Home::shard).collect();
        let spilled = !due.is_empty();
        for shard in due {
            self.spill(shard).await;
        }
        if spilled {
            self.tell(&[]).await;
        }
    }

    async fn spill(&mut self, shard: ShardId) {
        let begun = Instant::now();
        let Some(home) = self.homes.get(&shard) else { return };
        let spill = match home.spill(now()) {
            Ok(spill) => spill,
            Err(error) => {
                tracing::error!(%shard, error = &error as &dyn std::error::Error, "cannot encode messages for a spill");
                return;
            }
        };
        let (epoch, commits) = (home.epoch(), home.commits());
        // Tried again in place: until it is certain whether the rows are there, nothing may be acked.
        let mut attempt = 0;
        let spilled: Spilled = loop {
            match self.store.spill(shard, epoch, commits, &spill).await {
                Ok(spilled) => break spilled,
                Err(CommitError::Fenced) => {
                    self.metrics.commits_fenced_total.inc();
                    return self.lose(shard);
                }
                Err(CommitError::Store(error)) => {
                    tracing::warn!(%shard, error = &error as &dyn std::error::Error, "cannot spill; trying again");
                    if !self.pause(attempt, "postgres").await {
                        return self.drop_home(shard);
                    }
                    attempt += 1;
                }
            }
        };
        if let Some(home) = self.homes.get_mut(&shard) {
            home.spilled(now());
        }
        let body = |body: tmtp_store::StoredBody| tmtp_contract::BodyRef {
            id: body.id,
            len: body.len,
            chunk: body.chunk,
        };
        self.janitor.remove(spilled.free.into_iter().map(|(site, freed)| (site, body(freed))).collect());
        self.metrics.spills_total.inc();
        self.metrics.spilled_messages_total.inc_by(u64::try_from(spill.messages.len()).unwrap_or(u64::MAX));
        self.metrics.spill_seconds.observe(begun.elapsed().as_secs_f64());
    }

    /// Reads pages of spilled messages. `None` when the process ends.
    pub(super) async fn read_pages(&mut self, requests: &[PageRequest]) -> Option<Vec<Vec<Arc<Message>>>> {
        let mut attempt = 0;
        loop {
            match self.store.pages(requests).await {
                Ok(pages) => return Some(pages.into_iter().map(messages).collect()),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot read waiting messages");
                    if !self.pause(attempt, "postgres").await {
                        return None;
                    }
                    attempt += 1;
                }
            }
        }
    }
}

/// Messages from their rows. One that this release cannot read stays in its row, and is told to a human.
fn messages(rows: Vec<RowMessage>) -> Vec<Arc<Message>> {
    let message = |row: RowMessage| match tmtp_contract::decode::<MessageRecord>(&row.header) {
        Ok(record) => Some(Arc::new(record.join(row.body.map(Bytes::from)))),
        Err(error) => {
            tracing::error!(message.id = %row.msg_id, error = &error as &dyn std::error::Error, "unreadable message");
            None
        }
    };
    rows.into_iter().filter_map(message).collect()
}
