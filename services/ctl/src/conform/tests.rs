//! The judge itself is judged: by servers that are wrong in different ways.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::conform::frame::{Frame, request, spelled};

/// Starts a server on loopback, with TLS, which answers each request with what `answer` says, and never ends a link.
async fn server(answer: fn(&Value) -> Vec<Value>) -> SocketAddr {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], key.signing_key.serialize_der().try_into().unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(acceptor.clone(), tcp, answer));
        }
    });
    address
}

async fn serve(acceptor: TlsAcceptor, tcp: TcpStream, answer: fn(&Value) -> Vec<Value>) {
    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
    let mut input = Vec::new();
    loop {
        while let Ok(Some(frame)) = Frame::cut(&mut input) {
            for answer in answer(&Value::Object(frame.header)) {
                let header = spelled(answer.as_object().unwrap(), false);
                if stream.write_all(&request(header.as_bytes(), b"")).await.is_err() {
                    return;
                }
            }
        }
        if stream.read_buf(&mut input).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

/// The numbers of the cases without limits of time that pass there.
async fn passed(answer: fn(&Value) -> Vec<Value>) -> BTreeSet<String> {
    let connect = Connect::local(server(answer).await);
    let world = World::new(connect, None, Arc::default(), Duration::from_millis(150), "test");
    let mut cases = cases::all();
    cases.retain(|(_, case)| !case.slow && case.section != 15);
    let mut passed = BTreeSet::new();
    let tally = play(cases, &world, 200, |line| {
        if let Some(line) = line.strip_prefix("ok   ") {
            passed.insert(line.chars().take(80).collect::<String>().trim_end().to_owned());
        }
    });
    assert_eq!(tally.await.passed, passed.len());
    passed
}

/// Goal: no case can pass without the server's doing; method: a server that says nothing.
#[tokio::test]
async fn silence_passes_nothing() {
    let passed = passed(|_| Vec::new()).await;
    // That server does close what is no TLS.
    assert_none_but(&passed, &["01.01 what is no TLS is not talked to"]);
}

/// Fewer may pass on a slow machine.
fn assert_none_but(passed: &BTreeSet<String>, right: &[&str]) {
    let wrong: Vec<_> =
        passed.iter().filter(|line| !right.iter().any(|right| line.contains(right))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Goal: no case takes well-formed answers for right ones; method: a server that greets, registers, logs in, and says
/// yes to everything without doing it.
#[tokio::test]
async fn a_server_that_only_says_yes_fails() {
    let passed = passed(|header| {
        let info = json!({"op": "info", "info": "login ok"});
        let id = &header["id"];
        match header["op"].as_u64().or(header["Op"].as_u64()) {
            Some(0) => vec![json!({"op": "tmtprev", "id": "1", "name": "Yes"})],
            Some(1) => vec![json!({"op": "registered", "uid": "U".repeat(32), "nodeid": "N".repeat(40)}), info],
            Some(2) => vec![info],
            Some(3 | 4 | 6) => vec![json!({"op": "ack", "id": id})],
            Some(5 | 7 | 8 | 9) => {
                vec![json!({"op": "ack", "id": id, "msgid": "0".repeat(16), "posted": "2026-01-02T03:04:05.678Z"})]
            }
            _ => Vec::new(),
        }
    })
    .await;
    // What such a server does right: it reads, it greets, it repeats ids, and it writes well.
    let right = [
        "01.01 what is no TLS is not talked to",
        "a node whose link was lost can log in again",
        "white space around the object belongs to the header",
        "a frame may come octet by octet",
        "to ask for an alias that one has is a success",
        "an ack repeats an id of 10,000 octets",
        ".*  every frame",
    ];
    assert_none_but(&passed, &right);
}

/// Goal: the cases can be told apart and are as many as is promised; method: all numbers and names.
#[test]
fn cases_have_numbers_and_names_of_their_own() {
    let cases = cases::all();
    let numbers: BTreeSet<_> = cases.iter().map(|(number, _)| number).collect();
    let names: BTreeSet<_> = cases.iter().map(|(_, case)| &case.name).collect();
    assert_eq!((numbers.len(), names.len()), (cases.len(), cases.len()));
    assert!(cases.len() > 400, "{}", cases.len());
    assert!(cases.iter().all(|(_, case)| (1..=17).contains(&case.section)));
}

/// Goal: cases are chosen by number and by name, and slow ones only on demand; method: some filters.
#[test]
fn choosing_cases() {
    let chosen = |filter: &[&str], slow: bool| {
        let conform = Conform {
            address: None,
            second: None,
            sni: None,
            insecure: true,
            ca: None,
            filter: filter.iter().map(|text| (*text).to_owned()).collect(),
            list: false,
            slow,
            parallel: 1,
            patience: 1,
        };
        conform.cases().map(|cases| cases.len()).unwrap_or_default()
    };
    assert_eq!(chosen(&["12.01"], false), 1);
    assert_eq!(chosen(&["TWO MINUTES"], false), 0);
    assert_eq!(chosen(&["TWO MINUTES"], true), 1);
    assert_eq!(chosen(&["01.01", "12.01"], false), 2);
    assert!(chosen(&[], true) > chosen(&[], false));
}

/// Goal: what a server says cannot do harm to a terminal or flood it; method: a long text with an escape.
#[test]
fn lines_are_harmless() {
    let line = shortened(&format!("\u{1b}[2J{}", "x".repeat(60_000)));
    assert!(
        line.starts_with("\\u{1b}[2Jxxx") && line.ends_with("... (60004 octets)") && line.len() < 700,
        "{line}"
    );
}
