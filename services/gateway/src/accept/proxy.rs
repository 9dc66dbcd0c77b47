//! Who is behind a connection that a load balancer passes on: reads the PROXY header that such connections begin with,
//! version 1 or 2. Believes nobody but the networks that are trusted, and takes no octet that is not the header's: what
//! follows belongs to TLS.

#[cfg(test)]
pub mod tests;

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;
use proxy_protocol_rs::{ParseError, ProxyInfo, parse};
use tmtp_chassis::prometheus::IntCounterVec;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout_at};

use crate::config::ProxyProtocol;

/// The shortest header: `PROXY UNKNOWN` and the end of the line.
const SHORTEST: usize = 15;
/// What a header of version 2 has before its addresses.
const FIXED: usize = 16;
/// Where its length stands there.
const LENGTH: std::ops::Range<usize> = 14..16;

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The client's address; the load balancer's, if that does not tell or has no client.
    pub address: IpAddr,
    /// It may be the load balancer itself, to see whether somebody is there.
    pub is_balancer: bool,
}

/// Why a connection from a trusted network is not taken.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the PROXY header is longer than {0} octets")]
    TooLong(usize),
    #[error("the connection ended within the PROXY header")]
    CutOff,
    #[error("the PROXY header did not come in time")]
    Late,
    #[error(transparent)]
    Header(#[from] ParseError),
    #[error("cannot read the PROXY header")]
    Read(#[from] io::Error),
}

/// The load balancers that are believed.
pub struct Proxies {
    trusted: Vec<IpNet>,
    octets_max: usize,
    outcomes: IntCounterVec,
    /// Somebody was told already that a load balancer sends no headers.
    told: AtomicBool,
}

impl Proxies {
    /// Fails if a network is none, which a checked configuration does not have.
    pub fn new(config: &ProxyProtocol, outcomes: IntCounterVec) -> anyhow::Result<Self> {
        let trusted = config.networks().map_err(|problems| anyhow::anyhow!(problems.join("; ")))?;
        let octets_max = config.header_octets_max;
        Ok(Self { trusted, octets_max, outcomes, told: AtomicBool::new(false) })
    }

    /// Who is behind a connection from this address, whose header has to be there by then. None: nobody, or nobody
    /// that is taken; nothing is left to do.
    pub async fn caller(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        peer: IpAddr,
        by: Instant,
    ) -> Option<Caller> {
        // A port that is open for both kinds of addresses shows the older ones inside of the newer.
        let peer = peer.to_canonical();
        if !self.trusted.iter().any(|network| network.contains(&peer)) {
            return Some(Caller { address: peer, is_balancer: false });
        }
        let read = timeout_at(by, read_header(stream, self.octets_max)).await;
        let header = match read.unwrap_or(Err(Refused::Late)) {
            Ok(header) => header,
            Err(refused) => {
                self.note_refused(peer, &refused);
                return None;
            }
        };
        // Without one the load balancer has only looked whether the port is open.
        let client = header.as_ref().and_then(ProxyInfo::source_ip);
        let outcome = if client.is_some() { "client" } else { "balancer" };
        self.outcomes.with_label_values(&[outcome]).inc();
        header.map(|_| Caller {
            address: client.map_or(peer, |address| address.to_canonical()),
            is_balancer: client.is_none(),
        })
    }

    /// One line for people, because then nobody gets through at all; the rest is counted.
    fn note_refused(&self, peer: IpAddr, refused: &Refused) {
        self.outcomes.with_label_values(&["refused"]).inc();
        let error = refused as &dyn std::error::Error;
        if self.told.swap(true, Ordering::Relaxed) {
            tracing::debug!(%peer, error, "a connection without a proper PROXY header");
        } else {
            tracing::warn!(
                %peer,
                error,
                "a connection from proxy_protocol.trusted without a proper PROXY header was refused; does the load \
                 balancer send them? More of these are counted, and logged at debug level"
            );
        }
    }
}

/// Reads a header and nothing behind it. None: the connection ended before its first octet.
async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
    octets_max: usize,
) -> Result<Option<ProxyInfo>, Refused> {
    let mut octets = Vec::new();
    loop {
        match parse(&octets) {
            Ok((header, _)) => return Ok(Some(header)),
            Err(ParseError::Incomplete) => {}
            Err(error) => return Err(error.into()),
        }
        let lacking = lacking(&octets);
        if octets.len() + lacking > octets_max {
            return Err(Refused::TooLong(octets_max));
        }
        let more = u64::try_from(lacking).unwrap_or(u64::MAX);
        if (&mut *stream).take(more).read_buf(&mut octets).await? == 0 {
            return if octets.is_empty() { Ok(None) } else { Err(Refused::CutOff) };
        }
    }
}

/// How many octets an unfinished header lacks at least.
fn lacking(octets: &[u8]) -> usize {
    match octets {
        // A line, which says nothing of its length: a few more reads cost little once for each connection.
        [] | [b'P', ..] => {
            let end_of_line = if octets.ends_with(b"\r") { 1 } else { 2 };
            SHORTEST.saturating_sub(octets.len()).max(end_of_line)
        }
        _ => match octets.get(LENGTH) {
            Some(&[high, low]) => {
                (FIXED + usize::from(u16::from_be_bytes([high, low]))).saturating_sub(octets.len())
            }
            _ => FIXED - octets.len(),
        },
    }
}
