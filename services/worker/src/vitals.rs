//! What the tasks of a worker know of each other: whether Redis answers, and how far the shards have come.
//!
//! A worker that cannot reach Redis serves nobody, though its lease, which is in Postgres, could be renewed for ever.
//! So the lease depends on this. Must never count time in which the engine is merely busy.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tmtp_bus::StreamId;
use tmtp_domain::ShardId;

/// Shared by the tasks of a worker.
#[derive(Debug)]
pub struct Vitals {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When Redis answered last.
    heard: Instant,
    /// Since when the engine has tried in vain to tell something; nothing else is decided meanwhile.
    stuck: Option<Instant>,
    /// Up to where the streams of the shards that are ours are committed.
    places: HashMap<ShardId, StreamId>,
}

impl Vitals {
    /// A worker that has just been connected.
    pub fn new() -> Self {
        let state = State { heard: Instant::now(), stuck: None, places: HashMap::new() };
        Self { state: Mutex::new(state) }
    }

    /// Redis has answered.
    pub fn hear(&self) {
        self.state().heard = Instant::now();
    }

    /// Whether the engine waits for Redis to take something.
    pub fn set_stuck(&self, stuck: bool) {
        let mut state = self.state();
        state.stuck = if stuck { state.stuck.or_else(|| Some(Instant::now())) } else { None };
    }

    /// For how long Redis has been out of reach; a second or so when it is not.
    pub fn silence(&self) -> Duration {
        let state = self.state();
        let stuck = state.stuck.map(|since| since.elapsed()).unwrap_or_default();
        state.heard.elapsed().max(stuck)
    }

    /// Tells which shards are ours, and up to where their streams are committed.
    pub fn set_places(&self, places: HashMap<ShardId, StreamId>) {
        self.state().places = places;
    }

    /// What [`Self::set_places`] told last.
    pub fn places(&self) -> HashMap<ShardId, StreamId> {
        self.state().places.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
