//! Keys of providers, fetched when they are needed and kept, in memory only.
//!
//! A set is fetched when somebody asks for a key that is not in it, and when it has grown old; by one task at a time,
//! and not more often than once in a while, so that made-up key ids cost a provider nothing. While the provider is
//! away the set stays as it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::fetch::Fetcher;
use crate::{FetchError, KeySet, Reach};

/// Fetches that somebody has asked for are not more frequent: that time may be of a clock which is ahead of ours.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// What fetching keys may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From where.
    pub reach: Reach,
    /// A fetch takes no longer.
    pub wait_max: Duration,
    /// A document is no larger.
    pub octets_max: usize,
    /// Between two fetches from one provider there is at least this.
    pub pause: Duration,
    /// A set older than this is fetched again, so that keys which a provider withdrew come to an end.
    pub age_max: Duration,
    /// Sets kept; the one that was not used for longest gives way.
    pub sets_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reach: Reach::Public,
            wait_max: Duration::from_secs(8),
            octets_max: 256 * 1024,
            pause: Duration::from_secs(30),
            age_max: Duration::from_hours(1),
            sets_max: 4_096,
        }
    }
}

/// The keys of all providers that were asked for. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    shared: Arc<Shared>,
}

struct Shared {
    fetcher: Fetcher,
    limits: Limits,
    sets: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    entry: Arc<Entry>,
    used: Instant,
}

#[derive(Default)]
struct Entry {
    state: Mutex<State>,
    /// Held while fetching.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default, Clone)]
struct State {
    set: Option<Arc<KeySet>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
    status: KeyStatus,
}

/// How it stands with the keys of a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyStatus {
    /// Keys that can be used.
    pub keys: usize,
    /// When they were fetched.
    pub fetched_at: Option<SystemTime>,
    /// When that was tried last.
    pub tried_at: Option<SystemTime>,
    /// Why the last try failed.
    pub error: Option<FetchError>,
}

impl Keys {
    /// No keys yet. Fails only if the machine's own set of root certificates cannot be read.
    pub fn new(limits: Limits) -> Result<Self, FetchError> {
        let fetcher = Fetcher::new(limits.reach, limits.wait_max, limits.octets_max)
            .map_err(|error| FetchError::Connect(error.to_string()))?;
        Ok(Self { shared: Arc::new(Shared { fetcher, limits, sets: Mutex::default() }) })
    }

    pub(crate) fn fetcher(&self) -> &Fetcher {
        &self.shared.fetcher
    }

    /// The keys at this address, fetched again if `key_id` is not among them. `None`: there are none to be had now.
    pub async fn with(&self, address: &str, key_id: &str) -> Option<Arc<KeySet>> {
        self.since(address, key_id, 0).await
    }

    /// The same, fetched again, too, if that was tried last before `since` (seconds since 1970).
    pub(crate) async fn since(&self, address: &str, key_id: &str, since: i64) -> Option<Arc<KeySet>> {
        let entry = self.entry(address);
        let since = UNIX_EPOCH + Duration::from_secs(u64::try_from(since).unwrap_or_default());
        let lacks = |state: &State| state.set.as_ref().is_none_or(|set| !set.has(key_id));
        let is_old = |state: &State| {
            let rested =
                state.tried.is_some_and(|at| at.elapsed() >= REFRESH_PAUSE.min(self.shared.limits.pause));
            rested && state.status.tried_at.is_some_and(|at| at < since)
        };
        let state = entry.state.lock().clone();
        if lacks(&state) || is_old(&state) {
            let _alone = entry.fetching.lock().await;
            // Whoever was here before may have brought it.
            let state = entry.state.lock().clone();
            if is_old(&state) || (lacks(&state) && !self.paused(&state)) {
                self.fetch(address, &entry).await;
            }
        } else if state.fetched.is_none_or(|at| at.elapsed() > self.shared.limits.age_max)
            && !self.paused(&state)
            && let Ok(_alone) = entry.fetching.try_lock()
        {
            self.fetch(address, &entry).await;
        }
        entry.state.lock().set.clone()
    }

    /// Fetches the keys at this address now, whatever was tried before, and tells how it went.
    pub async fn refresh(&self, address: &str) -> KeyStatus {
        let entry = self.entry(address);
        let _alone = entry.fetching.lock().await;
        self.fetch(address, &entry).await;
        entry.state.lock().status.clone()
    }

    /// How it stands with the keys at this address; `None` if nobody has asked for them here.
    pub fn status(&self, address: &str) -> Option<KeyStatus> {
        let sets = self.shared.sets.lock();
        sets.get(address).map(|kept| kept.entry.state.lock().status.clone())
    }

    fn paused(&self, state: &State) -> bool {
        state.tried.is_some_and(|at| at.elapsed() < self.shared.limits.pause)
    }

    fn entry(&self, address: &str) -> Arc<Entry> {
        let mut sets = self.shared.sets.lock();
        let now = Instant::now();
        if let Some(kept) = sets.get_mut(address) {
            kept.used = now;
            return kept.entry.clone();
        }
        if sets.len() >= self.shared.limits.sets_max
            && let Some(oldest) = sets.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone())
        {
            sets.remove(&oldest);
        }
        let entry = Arc::<Entry>::default();
        sets.insert(address.to_owned(), Kept { entry: entry.clone(), used: now });
        entry
    }

    async fn fetch(&self, address: &str, entry: &Entry) {
        // Noted before: whoever gives up in the middle has tried, too.
        entry.state.lock().tried = Some(Instant::now());
        let found = self.shared.fetcher.get(address).await.and_then(|document| {
            let set =
                KeySet::parse(&document).ok_or(FetchError::Content("the answer is not a set of keys"))?;
            if set.is_empty() {
                return Err(FetchError::Content("there is no key that tokens could be checked with"));
            }
            Ok(set)
        });
        let mut state = entry.state.lock();
        state.status.tried_at = Some(SystemTime::now());
        match found {
            Ok(set) => {
                state.status.keys = set.len();
                state.status.fetched_at = state.status.tried_at;
                state.status.error = None;
                state.fetched = state.tried;
                state.set = Some(Arc::new(set));
            }
            Err(error) => {
                tracing::warn!(address, error = %error, "keys of a provider could not be fetched");
                state.status.error = Some(error);
            }
        }
    }
}
