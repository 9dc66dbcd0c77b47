//! Calls of Postgres on behalf of the homes, each tried again until its outcome is certain.

use std::time::Instant;

use bytes::Bytes;
use tmtp_contract::MessageRecord;
use tmtp_domain::{BodyId, InviteRef, KeyId, MsgId, ShardId, SiteId, Uid};
use tmtp_store::{Commit, CommitError, Error, Page, PageRequest, RowMessage, ShardCommit, Spilled, Subject};

use super::{Engine, now};
use crate::home::{Facts, Home, ReadPage, Wanted};

/// How loading ended.
pub(super) enum Loaded {
    /// The homes know what the batch needs.
    Ready(Box<Facts>),
    /// Something that the batch needs cannot be read, ever.
    Refused,
    /// The process ends.
    Ended,
}

/// What a batch wants, as the store is asked for it.
struct Lists {
    members: Vec<(SiteId, Uid)>,
    names: Vec<(SiteId, String)>,
    looks: Vec<(SiteId, String)>,
    aliases: Vec<(SiteId, Uid)>,
    places: Vec<(SiteId, Uid)>,
    acquainted: Vec<(SiteId, Uid, Uid)>,
    member_backlogs: Vec<(SiteId, Uid)>,
    site_backlogs: Vec<SiteId>,
    groups: Vec<(SiteId, String)>,
    sites: Vec<SiteId>,
    bodies: Vec<(SiteId, BodyId)>,
    settled: Vec<(KeyId, String)>,
    known: Vec<(SiteId, Uid, String)>,
    invites: Vec<(SiteId, InviteRef)>,
    tokens: Vec<(SiteId, [u8; 32])>,
    subjects: Vec<(SiteId, Subject)>,
}

impl Lists {
    fn of(wanted: Wanted) -> Self {
        Self {
            members: wanted.members.into_iter().collect(),
            names: wanted.names.into_iter().collect(),
            looks: wanted.looks.into_iter().collect(),
            aliases: wanted.aliases.into_iter().collect(),
            places: wanted.places.into_iter().collect(),
            acquainted: wanted.acquainted.into_iter().collect(),
            member_backlogs: wanted.member_backlogs.into_iter().collect(),
            site_backlogs: wanted.site_backlogs.into_iter().collect(),
            groups: wanted.groups.into_iter().collect(),
            sites: wanted.sites.into_iter().collect(),
            bodies: wanted.bodies.into_iter().collect(),
            settled: wanted.settled.into_iter().collect(),
            invites: wanted.invites.into_iter().collect(),
            tokens: wanted.tokens.into_iter().collect(),
            subjects: wanted.subjects.into_iter().collect(),
            known: wanted.known.into_iter().collect(),
        }
    }
}

/// How a commit ended, but for the parts that are certain.
enum Outcome {
    /// Nothing is left of it.
    Done,
    /// The database does not take what this holds.
    Refused(Commit, CommitError),
    /// The process ends.
    Ended,
}

impl Engine {
    /// Loads what a batch wants.
    pub(super) async fn load(&mut self, wanted: Wanted) -> Loaded {
        let lists = Lists::of(wanted);
        let mut attempt = 0;
        loop {
            match self.try_load(&lists).await {
                Ok(facts) => return Loaded::Ready(Box::new(facts)),
                Err(error) if error.is_about_data() || matches!(error, Error::Unreadable(_)) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "Postgres does not give what a batch needs"
                    );
                    return Loaded::Refused;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot load what a batch needs"
                    );
                    if !self.pause(attempt, "postgres").await {
                        return Loaded::Ended;
                    }
                    attempt += 1;
                }
            }
        }
    }

    async fn try_load(&mut self, lists: &Lists) -> Result<Facts, Error> {
        if !lists.sites.is_empty() {
            let found = self.store.sites(&lists.sites).await?;
            self.sites.extend(found.into_iter().map(|site| (site.id, site)));
        }
        if !lists.members.is_empty() {
            for (site, member) in self.store.members(&lists.members).await? {
                if let Some(home) = self.home_of(site) {
                    home.learn(site, member);
                }
            }
        }
        if !lists.groups.is_empty() {
            for ((site, gid), group) in self.store.groups(&lists.groups).await? {
                if let Some(home) = self.home_of(site) {
                    home.learn_group(site, gid, group);
                }
            }
        }
        if !lists.member_backlogs.is_empty() {
            for (site, uid, rows) in self.store.member_backlogs(&lists.member_backlogs).await? {
                if let Some(home) = self.home_of(site) {
                    home.learn_member_backlog(site, uid, rows);
                }
            }
        }
        if !lists.site_backlogs.is_empty() {
            for (site, rows) in self.store.site_backlogs(&lists.site_backlogs).await? {
                if let Some(home) = self.home_of(site) {
                    home.learn_site_backlog(site, rows);
                }
            }
        }
        for (site, body) in self.store.bodies_condemned(&lists.bodies).await? {
            if let Some(home) = self.home_of(site) {
                home.learn_condemned(site, body);
            }
        }
        let mut facts = Facts::default();
        if !lists.names.is_empty() {
            facts.names = self.store.names(&lists.names).await?;
        }
        if !lists.looks.is_empty() {
            facts.looks = self.store.looks(&lists.looks).await?;
        }
        if !lists.aliases.is_empty() {
            facts.aliases = self.store.own_aliases(&lists.aliases).await?;
        }
        if !lists.places.is_empty() {
            facts.places = self.store.group_counts(&lists.places).await?;
        }
        if !lists.acquainted.is_empty() {
            facts.acquainted = self.store.acquainted(&lists.acquainted).await?;
        }
        if !lists.settled.is_empty() {
            facts.settled = self.store.settled(&lists.settled).await?;
        }
        if !lists.known.is_empty() {
            facts.known = self.store.known(&lists.known).await?;
        }
        if !lists.invites.is_empty() {
            facts.invites = self.store.invites_for(&lists.invites).await?;
        }
        if !lists.tokens.is_empty() {
            facts.used_tokens = self.store.used_tokens(&lists.tokens).await?;
            facts.known_subjects = self.store.known_subjects(&lists.subjects).await?;
        }
        Ok(facts)
    }

    fn home_of(&mut self, site: SiteId) -> Option<&mut Home> {
        let shard = self.sites.get(&site)?.shard;
        self.homes.get_mut(&shard)
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
        let begun = Instant::now();
        let mut certain = Vec::new();
        let mut commits = vec![Commit { shards }];
        while let Some(commit) = commits.pop() {
            match self.commit_until_certain(commit, &mut certain).await {
                Outcome::Done => {}
                Outcome::Ended => {
                    self.homes.clear();
                    return Vec::new();
                }
                // Only the shard that holds what is refused has to suffer.
                Outcome::Refused(commit, error) if commit.shards.len() > 1 => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "Postgres refused a commit; trying its shards one by one"
                    );
                    commits.extend(commit.shards.into_iter().map(|part| Commit { shards: vec![part] }));
                }
                Outcome::Refused(commit, error) => {
                    for part in commit.shards {
                        self.start_over(part.shard, &error).await;
                    }
                }
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

    /// Commits until it is certain what has happened, which may be something else for each part.
    async fn commit_until_certain(&mut self, mut commit: Commit, certain: &mut Vec<ShardCommit>) -> Outcome {
        let mut attempt = 0;
        while !commit.shards.is_empty() {
            match self.store.commit(&commit).await {
                Ok(()) => certain.append(&mut commit.shards),
                Err(CommitError::Fenced) => {
                    self.metrics.commits_fenced_total.inc();
                    certain.append(&mut self.after_fence(&mut commit).await);
                }
                Err(error) if is_about_data(&error) => return Outcome::Refused(commit, error),
                // What concerns every commit alike is for a human to mend; until then nothing may be decided.
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot commit; trying again");
                    if !self.pause(attempt, "postgres").await {
                        return Outcome::Ended;
                    }
                    attempt += 1;
                }
            }
            commit.shards.retain(|part| self.homes.contains_key(&part.shard));
        }
        Outcome::Done
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

    /// Spills the homes whose time has come, and the largest as long as all together hold too much.
    pub(super) async fn spill_what_is_due(&mut self) {
        let policy = self.config.spill_policy();
        let at = now();
        let mut due: Vec<ShardId> =
            self.homes.values().filter(|home| home.spill_is_due(policy, at)).map(Home::shard).collect();
        due.extend(self.heaviest(&due, policy.bytes));
        let spilled = !due.is_empty();
        for shard in due {
            self.spill(shard).await;
        }
        if spilled {
            self.tell(&[]).await;
        }
    }

    /// The homes whose spill brings what all hold together, without those that are `due` anyway, down to half of `most`
    /// when it has reached that. (Half, or the next message would make the next spill.)
    fn heaviest(&self, due: &[ShardId], most: usize) -> Vec<ShardId> {
        let mut homes: Vec<(usize, ShardId)> = self
            .homes
            .values()
            .filter(|home| !due.contains(&home.shard()))
            .map(|home| (home.held_bytes(), home.shard()))
            .collect();
        let mut held: usize = homes.iter().map(|(octets, _)| octets).sum();
        if held < most {
            return Vec::new();
        }
        homes.sort_unstable_by(|a, b| b.cmp(a));
        let before = |(octets, shard): (usize, ShardId)| {
            let still = held > most / 2;
            held -= octets;
            still.then_some(shard)
        };
        homes.into_iter().map_while(before).collect()
    }

    /// Forgets the oldest requests of the homes that remember most, as long as all together remember too many.
    pub(super) fn limit_receipts(&mut self) {
        let most = self.config.delivery.receipts_max;
        let counts: Vec<usize> = self.homes.values().map(Home::receipts).collect();
        if counts.iter().sum::<usize>() > most {
            let level = level(counts, most);
            self.homes.values_mut().for_each(|home| home.limit_receipts(level));
            self.metrics.dedupe_cut_total.inc();
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
        let (mut attempt, mut carefully) = (0, false);
        let spilled: Spilled = loop {
            let spilling = async {
                if carefully {
                    self.store.spill_carefully(shard, epoch, commits, &spill).await
                } else {
                    self.store.spill(shard, epoch, commits, &spill).await
                }
            };
            match spilling.await {
                Ok(spilled) => break spilled,
                Err(CommitError::Fenced) => {
                    self.metrics.commits_fenced_total.inc();
                    return self.lose(shard);
                }
                Err(error) if is_about_data(&error) && !carefully => {
                    tracing::error!(
                        %shard,
                        error = &error as &dyn std::error::Error,
                        "Postgres refused a spill; finding out which part of it"
                    );
                    carefully = true;
                }
                Err(error) => {
                    tracing::warn!(%shard, error = &error as &dyn std::error::Error, "cannot spill; trying again");
                    if !self.pause(attempt, "postgres").await {
                        return self.drop_home(shard);
                    }
                    attempt += 1;
                }
            }
        };
        for refused in &spilled.refused {
            let (part, error) = (refused.part, &refused.error as &dyn std::error::Error);
            tracing::error!(%shard, ?part, error, "Postgres does not take a part of a spill; see message_parked");
            self.metrics.spill_refused_total.inc();
        }
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
    pub(super) async fn read_pages(&mut self, requests: &[PageRequest]) -> Option<Vec<ReadPage>> {
        let mut attempt = 0;
        loop {
            match self.store.pages(requests).await {
                Ok(pages) => return Some(pages.into_iter().map(read_page).collect()),
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

/// The same commit would be refused again, and another one perhaps not.
fn is_about_data(error: &CommitError) -> bool {
    match error {
        CommitError::BodyGone => true,
        CommitError::Store(error) => error.is_about_data(),
        CommitError::Fenced => false,
    }
}

/// The number down to which the largest of these have to be cut, so that all together are at most `most`.
fn level(mut counts: Vec<usize>, most: usize) -> usize {
    counts.sort_unstable();
    let mut left = most;
    for (index, count) in counts.iter().enumerate() {
        let share = left / (counts.len() - index);
        if *count > share {
            return share;
        }
        left -= count;
    }
    usize::MAX
}

/// Messages from their rows. One that this release cannot read stays in its row, and is told to a human.
fn read_page(page: Page) -> ReadPage {
    let message = |row: RowMessage| match tmtp_contract::decode::<MessageRecord>(&row.header) {
        Ok(record) => Some(record.join(row.body.map(Bytes::from)).into()),
        Err(error) => {
            tracing::error!(message.id = %row.msg_id, error = &error as &dyn std::error::Error, "unreadable message");
            None
        }
    };
    // A row of an urgency that this release does not know stands behind the others.
    let place = |(urgency, id): (i16, MsgId)| (u8::try_from(urgency).unwrap_or(u8::MAX), id);
    ReadPage {
        messages: page.messages.into_iter().filter_map(message).collect(),
        last: page.last.map(place),
        is_end: page.is_end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the cut leaves at most what is allowed, and no more unused than there are homes; method: counts of all shapes.
    #[test]
    fn the_largest_are_cut() {
        assert_eq!(level(vec![3, 4], 7), usize::MAX);
        assert_eq!(level(vec![1, 9, 5], 9), 4);
        for (counts, most) in
            [(vec![10, 10, 10], 7), (vec![0, 0, 9], 3), (vec![1, 2, 3, 100], 50), (vec![5], 0)]
        {
            let cut = level(counts.clone(), most);
            let left: usize = counts.iter().map(|count| *count.min(&cut)).sum();
            assert!(left <= most && left + counts.len() > most, "{counts:?} {most}: {left}");
        }
    }
}
