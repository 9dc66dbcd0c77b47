//! A Redis with a bus on it, and entries to send. Must not use keys but through the bus, where a test is about the bus.

use std::time::Duration;

use redis::{Cmd, FromRedisValue};
use tmtp_bus::{Bus, CommandReader, EventReader, Read, StreamId};
use tmtp_contract::{Command, CommandEntry, Envelope, EventEntry, encode};
use tmtp_domain::{GatewayId, SessionId, ShardId, SiteId, WorkerId};
use tmtp_testkit::Redis;
use uuid::Uuid;

/// Generous: a loaded machine must not fail a test.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A server of one's own, and a bus to it.
pub struct Place {
    pub redis: Redis,
    pub bus: Bus,
}

impl Place {
    pub async fn new() -> Self {
        let redis = Redis::start().unwrap();
        let bus = Bus::connect(&redis.url()).await.unwrap();
        Self { redis, bus }
    }

    /// Runs a command past the bus.
    pub async fn raw<T: FromRedisValue>(&self, command: &Cmd) -> T {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        command.query_async(&mut connection).await.unwrap()
    }
}

pub fn gateway(n: u128) -> GatewayId {
    GatewayId(Uuid::from_u128(n))
}

pub fn worker(n: u128) -> WorkerId {
    WorkerId(Uuid::from_u128(n))
}

/// An encoded entry of one command, known by `seq`.
pub fn command(seq: u64) -> Vec<u8> {
    let site = SiteId(Uuid::from_u128(1));
    let envelope = Envelope { site, session: SessionId(1), seq, trace: None, command: Command::Detach };
    encode(&CommandEntry::new(gateway(1), vec![envelope])).unwrap()
}

/// An encoded entry without events, known by `number`.
pub fn event(number: u64) -> Vec<u8> {
    encode(&EventEntry::new(worker(1), number, Vec::new(), Vec::new())).unwrap()
}

pub fn seqs(reads: &[Read]) -> Vec<(u16, u64)> {
    reads.iter().map(|read| (read.shard.0, read.entry.commands[0].seq)).collect()
}

/// Reads until `count` entries have come.
pub async fn read_commands(reader: &mut CommandReader, count: usize) -> Vec<Read> {
    let mut all = Vec::new();
    let reading = async {
        while all.len() < count {
            all.extend(reader.next().await.unwrap());
        }
    };
    let done = tokio::time::timeout(DEADLINE, reading).await;
    assert!(done.is_ok(), "{} of {count} entries came", all.len());
    all
}

/// Reads until `count` entries have come, and gives their numbers.
pub async fn read_events(reader: &mut EventReader, count: usize) -> Vec<u64> {
    let mut all = Vec::new();
    let reading = async {
        while all.len() < count {
            all.extend(reader.next().await.unwrap().into_iter().map(|entry| entry.number));
        }
    };
    let done = tokio::time::timeout(DEADLINE, reading).await;
    assert!(done.is_ok(), "only {all:?} came, {count} were due");
    all
}

/// Repeats a call until it succeeds. Every error on the way must be one that says "again".
pub async fn persist<T>(what: &str, mut call: impl AsyncFnMut() -> Result<T, tmtp_bus::Error>) -> T {
    let attempt = async || match call().await {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(error.is_transient(), "{what}: {error:?}");
            None
        }
    };
    tmtp_testkit::eventually(DEADLINE, what, attempt).await.unwrap()
}

pub fn shard(n: u16) -> ShardId {
    ShardId(n)
}

pub fn start() -> StreamId {
    StreamId::default()
}
