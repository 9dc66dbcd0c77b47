//! Headers, octet by octet: all of a header is taken and nothing behind it, however it arrives.

use std::net::IpAddr;
use std::time::Duration;

use tmtp_chassis::prometheus::{IntCounterVec, Opts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::{Caller, Proxies};
use crate::config::ProxyProtocol;

/// What follows a header here; it looks like one.
const TAIL: &[u8] = b"PROXY TCP4 203.0.113.9 203.0.113.9 9 9\r\nand more";
/// Where load balancers are here.
pub const BALANCER: &str = "10.1.2.3";
/// As long as a client has for its login.
const TIME: Duration = Duration::from_secs(5);
/// The signature of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Proper headers of clients, and whose they are.
pub fn clients() -> Vec<(Vec<u8>, IpAddr)> {
    let v4: IpAddr = "203.0.113.7".parse().unwrap();
    let v6: IpAddr = "2001:db8::7".parse().unwrap();
    let source6 = [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let addresses4 = [203, 0, 113, 7, 198, 51, 100, 1, 0xAB, 0xCD, 0x20, 0xFB];
    let addresses6 = [&source6[..], &source6[..], &[0xAB, 0xCD, 0x20, 0xFB]].concat();
    let mapped =
        [&[0; 10][..], &[0xFF, 0xFF, 203, 0, 113, 7], &source6[..], &[0xAB, 0xCD, 0x20, 0xFB]].concat();
    // One of a load balancer's own, and one that fills.
    let with_more = [&addresses4[..], &[0xEA, 0, 3, 1, b'v', b'p', 0x04, 0, 1, 0]].concat();
    vec![
        (b"PROXY TCP4 203.0.113.7 198.51.100.1 43981 8443\r\n".to_vec(), v4),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 43981 8443\r\n".to_vec(), v6),
        (version_2(0x21, 0x11, &addresses4), v4),
        (version_2(0x21, 0x21, &addresses6), v6),
        (version_2(0x21, 0x21, &mapped), v4),
        (version_2(0x21, 0x11, &with_more), v4),
    ]
}

/// Proper headers without a client.
pub fn balancers() -> Vec<Vec<u8>> {
    vec![
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 ffff::1 1 1\r\n".to_vec(),
        version_2(0x20, 0x00, &[]),
        version_2(0x20, 0x11, &[203, 0, 113, 7, 198, 51, 100, 1, 0xAB, 0xCD, 0x20, 0xFB]),
    ]
}

/// A header of version 2.
pub fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// With load balancers in 10.0.0.0/8.
fn proxies(octets_max: usize) -> Proxies {
    let config = ProxyProtocol { trusted: vec!["10.0.0.0/8".to_owned()], header_octets_max: octets_max };
    let outcomes = IntCounterVec::new(Opts::new("outcomes", "outcomes"), &["outcome"]).unwrap();
    Proxies::new(&config, outcomes).unwrap()
}

/// Who connects from the load balancer with these pieces, a second apart, and what is left to be read.
async fn read(proxies: &Proxies, pieces: &[&[u8]]) -> (Option<Caller>, Vec<u8>, Duration) {
    let (mut balancer, mut gateway) = duplex(64 << 10);
    let began = Instant::now();
    let write = async {
        for piece in pieces {
            balancer.write_all(piece).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        drop(balancer);
    };
    let whole = async {
        let caller = proxies.caller(&mut gateway, BALANCER.parse().unwrap(), began + TIME).await;
        (caller, began.elapsed(), rest(gateway).await)
    };
    let ((caller, took, rest), ()) = tokio::join!(whole, write);
    (caller, rest, took)
}

async fn rest(mut stream: DuplexStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    rest
}

/// Goal: every header is understood, whatever its pieces, and nothing behind it is touched; method: all headers, cut in
/// every place, with something behind that looks like another header.
#[tokio::test(start_paused = true)]
async fn cut_in_every_place() {
    let proxies = proxies(4_096);
    let balancer = Caller { address: BALANCER.parse().unwrap(), is_balancer: true };
    let mut expected: Vec<_> = clients()
        .into_iter()
        .map(|(header, address)| (header, Caller { address, is_balancer: false }))
        .collect();
    expected.extend(balancers().into_iter().map(|header| (header, balancer)));
    for (header, expected) in expected {
        let sent = [&header, TAIL].concat();
        for cut in 0..=sent.len() {
            let (first, second) = sent.split_at(cut);
            let (caller, rest, took) = read(&proxies, &[first, second]).await;
            assert_eq!((caller, &rest[..]), (Some(expected), TAIL), "{header:?} cut at {cut}");
            let late = Duration::from_secs(u64::from(cut < header.len()));
            assert!(took >= late && took < late + Duration::from_millis(5), "{took:?} for a cut at {cut}");
        }
    }
}

/// Goal: an octet at a time is understood too; method: the longest header in one second for all.
#[tokio::test(start_paused = true)]
async fn drop_by_drop() {
    let proxies = proxies(4_096);
    let (header, address) = clients().swap_remove(3);
    let (mut balancer, mut gateway) = duplex(1);
    let write = async {
        balancer.write_all(&header).await.unwrap();
        balancer.write_all(TAIL).await.unwrap();
        drop(balancer);
    };
    let peer = BALANCER.parse().unwrap();
    let read = async {
        let caller = proxies.caller(&mut gateway, peer, Instant::now() + TIME).await;
        (caller, rest(gateway).await)
    };
    let ((caller, rest), ()) = tokio::join!(read, write);
    assert_eq!((caller, &rest[..]), (Some(Caller { address, is_balancer: false }), TAIL));
}

/// Goal: what is no header is refused as soon as that shows, and a header that never ends, too; method: each in one
/// piece on a connection that stays open.
#[tokio::test(start_paused = true)]
async fn nonsense_is_refused_at_once() {
    let proxies = proxies(4_096);
    let mut broken_sum =
        version_2(0x21, 0x11, &[203, 0, 113, 7, 1, 1, 1, 1, 0, 1, 0, 1, 0x03, 0, 4, 1, 2, 3, 4]);
    let nonsense: [(&str, Vec<u8>); 12] = [
        ("a TLS hello", b"\x16\x03\x01\x02\0\x01".to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("HTTP that posts", b"POST / HTTP/1.1\r\n".to_vec()),
        ("a line without end", [&b"PROXY TCP4 "[..], &[b'1'; 96]].concat()),
        ("another network", b"PROXY UDP4 203.0.113.7 198.51.100.1 1 1\r\n".to_vec()),
        ("another kind of address", b"PROXY TCP4 2001:db8::7 2001:db8::1 1 1\r\n".to_vec()),
        ("a port that is none", b"PROXY TCP4 203.0.113.7 198.51.100.1 65536 1\r\n".to_vec()),
        ("version 1 in binary", version_2(0x11, 0x11, &[0; 12])),
        ("an unknown command", version_2(0x22, 0x11, &[0; 12])),
        ("too little for two addresses", version_2(0x21, 0x21, &[0; 12])),
        ("a check sum that is wrong", std::mem::take(&mut broken_sum)),
        ("one octet too many", version_2(0x21, 0x11, &[0; 4_081])),
    ];
    for (what, octets) in nonsense {
        let (mut balancer, mut gateway) = duplex(64 << 10);
        balancer.write_all(&octets).await.unwrap();
        let began = Instant::now();
        let caller = proxies.caller(&mut gateway, BALANCER.parse().unwrap(), began + TIME).await;
        assert_eq!((caller, began.elapsed()), (None, Duration::ZERO), "{what}");
    }
    assert_eq!(proxies.outcomes.with_label_values(&["refused"]).get(), 12);
}

/// Goal: the bound is exact, and what is beyond it is not waited for; method: a header of the longest length, and only
/// the beginning of one that says that it is longer.
#[tokio::test(start_paused = true)]
async fn headers_have_a_bound() {
    let proxies = proxies(100);
    // Addresses and then something to fill with, which has three octets itself.
    let filled = |octets: usize| {
        let fill = u8::try_from(octets - 16 - 12 - 3).unwrap();
        let start = [203, 0, 113, 7, 198, 51, 100, 1, 0, 1, 0, 1, 0x04, 0, fill];
        version_2(0x21, 0x11, &[&start[..], &vec![0; fill.into()]].concat())
    };
    let (caller, rest, _) = read(&proxies, &[&filled(100), TAIL]).await;
    assert_eq!((caller.is_some(), &rest[..]), (true, TAIL));
    let (caller, _, took) = read(&proxies, &[&filled(101)[..16]]).await;
    assert_eq!((caller, took), (None, Duration::ZERO));
}

/// Goal: a connection that ends is no error before its first octet, and one within a header; a header has the time of
/// the login; method: nothing, and each part of a header, with an end or without.
#[tokio::test(start_paused = true)]
async fn ends_and_delays() {
    let proxies = proxies(4_096);
    let count = |outcome: &str| proxies.outcomes.with_label_values(&[outcome]).get();
    assert_eq!(read(&proxies, &[]).await.0, None);
    assert_eq!((count("balancer"), count("refused")), (1, 0));
    for (header, _) in clients() {
        for end in 1..header.len() {
            assert_eq!(read(&proxies, &[&header[..end]]).await.0, None);
        }
    }
    let cut: usize = clients().iter().map(|(header, _)| header.len() - 1).sum();
    assert_eq!((count("balancer"), count("refused"), count("client")), (1, cut as u64, 0));

    let (mut balancer, mut gateway) = duplex(1_024);
    balancer.write_all(b"PROXY TCP4").await.unwrap();
    let began = Instant::now();
    let caller = proxies.caller(&mut gateway, BALANCER.parse().unwrap(), began + TIME).await;
    let took = began.elapsed();
    assert!(caller.is_none() && took >= TIME && took < TIME + Duration::from_millis(5), "{took:?}");
}

/// Goal: only trusted networks are asked for a header, and in whatever form their address comes; method: neighbours of
/// both ends of the network, and an IPv4 address inside of an IPv6 one.
#[tokio::test(start_paused = true)]
async fn only_trusted_networks() {
    let proxies = proxies(4_096);
    let (header, client) = clients().swap_remove(0);
    for (peer, trusted) in [
        ("10.0.0.0", true),
        ("10.255.255.255", true),
        ("::ffff:10.1.2.3", true),
        ("9.255.255.255", false),
        ("11.0.0.0", false),
        ("::ffff:11.0.0.0", false),
        ("2001:db8::1", false),
    ] {
        let (mut balancer, mut gateway) = duplex(1_024);
        balancer.write_all(&header).await.unwrap();
        drop(balancer);
        let peer: IpAddr = peer.parse().unwrap();
        let caller = proxies.caller(&mut gateway, peer, Instant::now() + TIME).await;
        let address = if trusted { client } else { peer.to_canonical() };
        assert_eq!(caller, Some(Caller { address, is_balancer: false }));
        assert_eq!(rest(gateway).await.is_empty(), trusted, "{peer}");
    }
}
