//! Takes the answer to XREAD apart, without copying the octets of entries. Pure.

use redis::{FromRedisValue, Value};

use crate::{Error, StreamId, keys};

/// The new entries of one stream, oldest first.
pub(crate) struct RawStream {
    pub(crate) key: Vec<u8>,
    pub(crate) entries: Vec<RawEntry>,
}

pub(crate) struct RawEntry {
    pub(crate) id: StreamId,
    pub(crate) content: RawContent,
}

pub(crate) enum RawContent {
    /// What should decode.
    Octets(Vec<u8>),
    /// Only there to raise the floor of ids.
    Floor,
    /// Written by somebody else.
    Foreign,
}

/// The streams that have something new; none when the wait was over first.
pub(crate) fn streams(answer: Value) -> Result<Vec<RawStream>, Error> {
    let pairs = match answer {
        Value::Nil => return Ok(Vec::new()),
        // RESP3.
        Value::Map(pairs) => pairs,
        Value::Array(items) => items.into_iter().map(pair).collect::<Result<_, _>>()?,
        _ => return Err(Error::Answer("XREAD gives neither streams nor nothing")),
    };
    pairs.into_iter().map(|(key, entries)| stream(key, entries)).collect()
}

fn stream(key: Value, entries: Value) -> Result<RawStream, Error> {
    let Value::Array(entries) = entries else { return Err(Error::Answer("a stream without entries")) };
    Ok(RawStream {
        key: octets(key).ok_or(Error::Answer("a stream without a name"))?,
        entries: entries.into_iter().map(entry).collect::<Result<_, _>>()?,
    })
}

fn entry(value: Value) -> Result<RawEntry, Error> {
    let (id, fields) = pair(value)?;
    let id: String =
        FromRedisValue::from_redis_value(id).map_err(|_| Error::Answer("an entry without an id"))?;
    let id = id.parse().map_err(|_| Error::Answer("an entry with an unreadable id"))?;
    let content = match fields {
        Value::Array(fields) => content(fields),
        // The entry was deleted by hand while it was read.
        Value::Nil => RawContent::Floor,
        _ => RawContent::Foreign,
    };
    Ok(RawEntry { id, content })
}

fn content(fields: Vec<Value>) -> RawContent {
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        match octets(name) {
            Some(name) if name == keys::BODY.as_bytes() => {
                return octets(value).map_or(RawContent::Foreign, RawContent::Octets);
            }
            Some(name) if name == keys::FLOOR.as_bytes() => return RawContent::Floor,
            _ => {}
        }
    }
    RawContent::Foreign
}

fn pair(value: Value) -> Result<(Value, Value), Error> {
    let Value::Array(items) = value else { return Err(Error::Answer("a pair that is no list")) };
    let [first, second]: [Value; 2] =
        items.try_into().map_err(|_| Error::Answer("a pair that is not of two"))?;
    Ok((first, second))
}

fn octets(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(octets) => Some(octets),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}
