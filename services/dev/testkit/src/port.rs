//! Ports on 127.0.0.1 that nobody listens on. Must never hand out the same port twice in one process.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Below Linux's range for outgoing connections (32768 and up): a port from that range could be taken by any
/// client's socket between our look and the server's bind, or while a server under test is down.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;
/// Prime to `COUNT`, so that the walk visits every port; a stride keeps two processes that start close to
/// each other from walking side by side.
const STRIDE: u32 = 4_999;

static NEXT: OnceLock<AtomicU32> = OnceLock::new();

/// A TCP port on 127.0.0.1 on which nobody listens now, and which this process has not been given before.
///
/// The port is not reserved: another process may take it, if only one that picks the same out of 12,000.
///
/// # Panics
/// When no port of the range is free.
pub fn free_port() -> u16 {
    let next = NEXT.get_or_init(|| AtomicU32::new(seed()));
    (0..COUNT)
        .map(|_| FIRST + next.fetch_add(STRIDE, Ordering::Relaxed) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("one of the ports 20000 to 31999 is free on 127.0.0.1")
}

/// Differs between processes, and between runs with the same process id.
fn seed() -> u32 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.subsec_nanos());
    // Far below the wrap of the counter, so that the walk stays a walk for some 800,000 calls.
    (nanos ^ std::process::id().wrapping_mul(2_654_435_761)) % COUNT
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Ports are distinct and free: take a hundred and listen on each at the same time.
    #[test]
    fn ports_are_distinct_and_free() {
        let ports: Vec<u16> = (0..100).map(|_| free_port()).collect();
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), ports.len());
        let listeners: Vec<_> =
            ports.iter().map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).unwrap()).collect();
        assert!(listeners.iter().all(|l| l.local_addr().unwrap().port() < 32_768));
    }
}
