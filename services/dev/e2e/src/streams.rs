//! A look at the streams from outside, as an operator has it. Knows the names of the keys, and nothing of what entries
//! hold. Must never change what it looks at, but for [`flush`].

use anyhow::{Context as _, Result};
use redis::aio::MultiplexedConnection;
use redis::{Value, cmd};
use tmtp_testkit::Redis;

/// All streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streams {
    /// From gateways to workers, one for each shard that was ever used, by shard.
    pub commands: Vec<Stream>,
    /// From workers to gateways, one for each gateway.
    pub events: Vec<Stream>,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its key.
    pub key: String,
    /// Entries that it holds.
    pub entries: u64,
    /// Memory that Redis uses for it, in octets.
    pub octets: u64,
    /// The id that was given last: milliseconds, and a number.
    pub last: (u64, u64),
}

impl Streams {
    pub(crate) async fn read(redis: &Redis) -> Result<Self> {
        let mut connection = connect(redis).await?;
        let commands = read_all(&mut connection, "tmtp:{s*}:cmd").await?;
        let events = read_all(&mut connection, "tmtp:{g:*}:evt").await?;
        Ok(Self { commands, events })
    }

    /// Entries in all of them.
    pub fn entries(&self) -> u64 {
        self.all().map(|stream| stream.entries).sum()
    }

    /// Octets of all of them.
    pub fn octets(&self) -> u64 {
        self.all().map(|stream| stream.octets).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Stream> {
        self.commands.iter().chain(&self.events)
    }
}

impl Stream {
    /// The shard whose command stream it is.
    ///
    /// # Errors
    /// When it is none.
    pub fn shard(&self) -> Result<i16> {
        let shard = self.key.strip_prefix("tmtp:{s").and_then(|rest| rest.strip_suffix("}:cmd"));
        shard
            .and_then(|shard| shard.parse().ok())
            .with_context(|| format!("{} is no command stream", self.key))
    }
}

/// Removes everything from a running Redis.
pub(crate) async fn flush(redis: &Redis) -> Result<()> {
    let mut connection = connect(redis).await?;
    cmd("FLUSHALL").exec_async(&mut connection).await.context("flush Redis")
}

async fn connect(redis: &Redis) -> Result<MultiplexedConnection> {
    let client = redis::Client::open(redis.url()).context("the URL of Redis")?;
    client.get_multiplexed_async_connection().await.context("reach Redis")
}

async fn read_all(connection: &mut MultiplexedConnection, pattern: &str) -> Result<Vec<Stream>> {
    let mut keys: Vec<String> =
        cmd("KEYS").arg(pattern).query_async(connection).await.context("list the streams")?;
    keys.sort_unstable();
    let mut streams = Vec::new();
    for key in keys {
        streams.extend(read(connection, key).await?);
    }
    Ok(streams)
}

/// `None` when it has gone meanwhile.
async fn read(connection: &mut MultiplexedConnection, key: String) -> Result<Option<Stream>> {
    let octets: Option<u64> =
        cmd("MEMORY").arg("USAGE").arg(&key).arg("SAMPLES").arg(0).query_async(connection).await?;
    let Some(octets) = octets else { return Ok(None) };
    // A stream that goes between these two looks is an error here, and a failed look for whoever waits.
    let info: Vec<(String, Value)> = cmd("XINFO").arg("STREAM").arg(&key).query_async(connection).await?;
    let field = |name: &str| {
        let value = info.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
        value.with_context(|| format!("{key} has no {name}"))
    };
    let entries = redis::from_redis_value(field("length")?)?;
    let last: String = redis::from_redis_value(field("last-generated-id")?)?;
    let (ms, number) = last.split_once('-').context("an id without a number")?;
    Ok(Some(Stream { key, entries, octets, last: (ms.parse()?, number.parse()?) }))
}
