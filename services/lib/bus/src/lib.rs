//! Redis as Postern uses it: command streams, event streams, leases, the directory of sites.
//!
//! All Redis commands of the workspace are here. Nothing that must not be lost may rest on this crate alone: Redis may
//! lose anything at any moment (invariant I1), and what is sent again must be safe to repeat.
//!
//! | key | holds |
//! |---|---|
//! | `tmtp:{s<n>}:cmd` | stream: the commands of shard n |
//! | `tmtp:{g:<gateway>}:evt` | stream: the events for one gateway; goes away by itself when unused |
//! | `tmtp:gateways`, `tmtp:workers` | hash: id → beat counter |
//! | `tmtp:gateways:state`, `tmtp:gateways:drained` | hash: how each gateway stands; which are to take no links |
//! | `tmtp:sites`, `tmtp:sites:index`, `tmtp:sites:meta` | the directory of sites, their revisions, the newest revision |
//! | `tmtp:certificates`, its `:contents`, `:index`, `:meta` | the same for certificates; private keys are sealed |
//! | `tmtp:challenge:<domain>` | what a certificate authority is to be answered; goes away by itself |
//! | `tmtp:parked` | stream: entries that nobody could decode, with the error |
//!
//! Every call ends within [`RESPONSE_MAX`], whatever Redis does; the readers' `next` waits for entries, and ends with
//! an error when Redis does not answer. After an error that [`Error::is_transient`] the same handle works again as
//! soon as Redis does.

mod address;
mod beat;
mod certificate;
mod command;
mod drain;
mod error;
mod event;
mod keys;
mod link;
mod parked;
mod parse;
mod policy;
mod site;
mod stream_id;
mod tail;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use beat::Beat;
pub use certificate::CHALLENGE_LEN;
pub use command::{Backlog, CommandReader, Read, ReaderHandle};
pub use drain::GatewayState;
pub use error::Error;
pub use event::EventReader;
pub use policy::Policy;
pub use stream_id::StreamId;

use crate::link::Link;

/// No call waits longer than this for its answer (connecting included).
pub const RESPONSE_MAX: Duration = Duration::from_secs(2);

/// How long [`Bus::connect`] tries: long enough for a Redis that starts at the same time.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// A handle to Redis. Clones share one connection for everything that does not block; each reader has its own.
#[derive(Clone)]
pub struct Bus {
    link: Arc<Link>,
    /// Which life of the server each beat (by hash and field) saw last. Holds the ids of this process only.
    lives: Arc<Mutex<HashMap<String, u64>>>,
}

impl Bus {
    /// Connects to `url` (`redis://[user:password@]host:port/database`, `rediss://` for TLS), trying for up to ten seconds.
    /// With TLS, `sslrootcert` in its query is a file with the only authorities to trust (else the machine's), `sslcert`
    /// and `sslkey` are files with a certificate of our own.
    ///
    /// # Errors
    /// [`Error::Url`] at once, also when such a file cannot be read; [`Error::Refused`] at once when the password is wrong;
    /// what else kept it from connecting when the time is over.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let link = Arc::new(Link::new(url).await?);
        let bus = Self { link, lives: Arc::default() };
        let deadline = tokio::time::Instant::now() + CONNECT_MAX;
        let mut pause = Duration::from_millis(20);
        loop {
            match bus.ping().await {
                Err(error) if error.is_transient() && tokio::time::Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                other => return other.map(|()| bus),
            }
        }
    }

    /// Asks whether Redis answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.link.command(&redis::cmd("PING")).await
    }
}
