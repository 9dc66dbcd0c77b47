//! Where the sessions are found. Parts with a lock each, so that links and events seldom meet. A part's lock must
//! never be held while a session is locked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tmtp_domain::{SessionId, ShardId, SiteId};

use crate::session::Session;

/// How many parts there are.
pub const PARTS: usize = 64;

/// No deadline.
const NEVER: u64 = u64::MAX;

/// A session and how to reach it.
pub struct Entry {
    /// Its number in this life of the gateway.
    pub id: SessionId,
    /// The shard of its site.
    pub shard: ShardId,
    /// Its site.
    pub site: SiteId,
    /// Where its client is, as far as load balancers tell.
    pub client: IpAddr,
    /// The session. Locked by [`super::Hub::turn`] only.
    pub session: Mutex<Session>,
    /// Wakes its link.
    pub waker: AtomicWaker,
    /// When the session has something to do by time, in milliseconds of the hub's clock.
    deadline: AtomicU64,
}

impl Entry {
    /// Notes when the clock has to look at the session.
    pub fn set_deadline(&self, deadline: Option<Duration>) {
        // Rounded up, so that the deadline has passed when the clock looks.
        let millis = deadline.map_or(NEVER, |at| u64::try_from(at.as_millis()).unwrap_or(NEVER - 1) + 1);
        self.deadline.store(millis, Ordering::Relaxed);
    }
}

/// All sessions.
pub struct Registry {
    parts: [Mutex<HashMap<SessionId, Arc<Entry>>>; PARTS],
    last: AtomicU64,
}

impl Registry {
    /// No sessions.
    pub fn new() -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()), last: AtomicU64::new(0) }
    }

    /// Takes a session in under a new number.
    pub fn insert(
        &self,
        shard: ShardId,
        site: SiteId,
        client: IpAddr,
        make: impl FnOnce(SessionId) -> Session,
    ) -> Arc<Entry> {
        let id = SessionId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let entry = Arc::new(Entry {
            id,
            shard,
            site,
            client,
            session: Mutex::new(make(id)),
            waker: AtomicWaker::new(),
            deadline: AtomicU64::new(NEVER),
        });
        self.part(id).lock().insert(id, Arc::clone(&entry));
        entry
    }

    /// The session of this number.
    pub fn get(&self, id: SessionId) -> Option<Arc<Entry>> {
        self.part(id).lock().get(&id).cloned()
    }

    /// Forgets a session. False if it is forgotten already.
    pub fn remove(&self, id: SessionId) -> bool {
        let mut part = self.part(id).lock();
        let known = part.remove(&id).is_some();
        // Herds come and go: what 50,000 sessions needed is not kept for one.
        if part.capacity() > 64 && part.len() * 4 < part.capacity() {
            part.shrink_to_fit();
        }
        known
    }

    /// Calls `act` with every session that `pick` chooses.
    pub fn each(&self, pick: impl Fn(&Entry) -> bool, mut act: impl FnMut(&Arc<Entry>)) {
        for part in &self.parts {
            let picked: Vec<Arc<Entry>> = part.lock().values().filter(|entry| pick(entry)).cloned().collect();
            picked.iter().for_each(&mut act);
        }
    }

    /// The sessions of a part whose deadline has passed.
    pub fn due(&self, part: usize, now: Duration) -> Vec<Arc<Entry>> {
        let now = u64::try_from(now.as_millis()).unwrap_or(NEVER - 1);
        let Some(part) = self.parts.get(part) else { return Vec::new() };
        let part = part.lock();
        part.values().filter(|entry| entry.deadline.load(Ordering::Relaxed) <= now).cloned().collect()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.lock().is_empty())
    }

    fn part(&self, id: SessionId) -> &Mutex<HashMap<SessionId, Arc<Entry>>> {
        let index = usize::try_from(id.0 % PARTS as u64).unwrap_or_default();
        &self.parts[index]
    }
}
