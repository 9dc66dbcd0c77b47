//! Load for a cluster on this machine, with books that are checked: whatever was acknowledged has to arrive, once,
//! in order and unharmed. It must never speak to another machine, run without an end, or report a number without
//! the conditions under which it was taken.
//!
//! [`pairs`] measures messages under way, [`idle`] what a connection costs that does nothing, [`drain`] how a backlog
//! gets to its receiver, [`sites`] what a site costs that does nothing. All are functions from options to a report, so that
//! tests can run them while they break things.

pub mod conditions;
pub mod drain;
pub mod idle;
pub mod pairs;
pub mod processes;
pub mod sites;

mod books;
mod dialer;
mod latencies;
mod payload;
mod progress;

use std::net::SocketAddr;

pub use books::{Counts, Kind};
pub use latencies::Quantiles;
pub use progress::Progress;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Load is for one's own machine only.
    #[error("{0} is not a loopback address; load is for this machine only")]
    NotLoopback(SocketAddr),
    /// An option is of no use.
    #[error("{0}")]
    Options(String),
    /// The kernel would not let us open so many connections.
    #[error("{needed} open files are needed, {allowed} are allowed; run `ulimit -n {needed}` before")]
    OpenFiles {
        /// For the options given.
        needed: u64,
        /// By the limit of this process.
        allowed: u64,
    },
    /// A user could not be made.
    #[error("cannot register user {number}")]
    Register {
        /// Which one, from 0.
        number: u32,
        /// Why.
        #[source]
        cause: tmtp_client::Error,
    },
    /// Making the users took too long.
    #[error("registering {users} users took more than {seconds} s")]
    RegisterLate {
        /// How many there should be.
        users: u32,
        /// The limit.
        seconds: u64,
    },
    /// What a process costs could not be read.
    #[error("cannot look after process {pid}; does it run?")]
    Process {
        /// Its id.
        pid: u32,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Anything else of the operating system.
    #[error("{what}")]
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        cause: std::io::Error,
    },
    /// A task of ours panicked.
    #[error("a task of the load generator failed")]
    Task(#[from] tokio::task::JoinError),
}

/// Fails unless there are gateways, all of them on this machine.
fn check_gateways(gateways: &[SocketAddr]) -> Result<(), Error> {
    if gateways.is_empty() {
        return Err(Error::Options("there is no gateway".into()));
    }
    match gateways.iter().find(|address| !address.ip().is_loopback()) {
        Some(address) => Err(Error::NotLoopback(*address)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: nobody else's machine gets our load; method: addresses of both kinds.
    #[test]
    fn only_loopback() {
        let gateways = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        assert!(check_gateways(&gateways(&["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"])).is_ok());
        for other in ["10.0.0.1:1", "192.0.2.1:1", "0.0.0.0:1", "[2001:db8::1]:1"] {
            let error = check_gateways(&gateways(&["127.0.0.1:1", other])).unwrap_err();
            assert!(matches!(error, Error::NotLoopback(_)), "{error}");
        }
        assert!(check_gateways(&[]).is_err());
    }
}
