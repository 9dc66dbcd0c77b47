//! What clients must not send, and what comes of it: exactly what the protocol says, and nothing for anybody else.

use anyhow::{Context as _, Result, ensure};
use tmtp_client::{Client, Frame};
use tmtp_e2e::{End, Gateway, Link, Setup, WAIT, end_of};
use tmtp_wire::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How far the link is when the bad input comes.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing was said.
    New,
    /// TmtpRev was answered.
    Greeted,
    /// Registered.
    Open,
}

use State::{Greeted, New, Open};

/// State, input, and the text of the quit frame; without a text, the connection just closes.
type Row = (State, Vec<u8>, Option<&'static str>);

const LENGTH: Option<&str> = Some("invalid header length");
const HEADER: Option<&str> = Some("invalid header");
const REPETITION: Option<&str> = Some("disallowed op repetition");
const UNAUTHENTICATED: Option<&str> = Some("disallowed op on unauthenticated link");
const CONNECTED: Option<&str> = Some("disallowed op on connected link");

/// One valid header for each op, with data behind it where it needs some.
const EACH_OP: [&str; 13] = [
    r#"{"op":0,"id":"1"}"#,
    r#"{"op":1,"newnode":"x","newalias":"_"}"#,
    r#"{"op":2,"uid":"U","node":"N"}"#,
    r#"{"op":3,"id":"i","newalias":"a new alias"}"#,
    r#"{"op":4,"id":"i","type":"add","for":[{"id":"U"}]}"#,
    r#"{"op":5,"id":"i","gid":"a group","from":"a","to":"b"}"#,
    r#"{"op":6,"id":"i","act":"join","gid":"a group"}"#,
    r#"{"op":7,"id":"i","for":[],"datalen":1}"#,
    r#"{"op":8,"id":"i","for":[],"datalen":2,"notelen":1}"#,
    r#"{"op":9,"id":"i","from":"a","to":"b"}"#,
    r#"{"op":10,"id":"i","type":"ok"}"#,
    r#"{"op":11}"#,
    r#"{"op":12}"#,
];

/// Goal: every kind of bad input gets its answer, and nobody else notices. Method: a table of link state, octets and the
/// end that has to follow, each on a connection of its own; after each of them ann and ben exchange a message.
#[tokio::test]
async fn bad_input_is_answered_as_the_protocol_says() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).start().await?;
    let gateway = cluster.gateway(0);
    let mut bystanders = (gateway.connect("ann").await?, gateway.connect("ben").await?);
    let tables = [lengths(), states(), json(), fields(), logins(), open_links()];
    for (number, (state, input, expected)) in tables.concat().into_iter().enumerate() {
        let shown = String::from_utf8_lossy(&input[..input.len().min(200)]).into_owned();
        let end = end_after(&gateway, state, &input).await.with_context(|| format!("{state:?}: {shown}"))?;
        let expected = expected.map_or(End::Closed, |text| End::Quit(text.to_owned()));
        assert_eq!(end, expected, "{state:?}: {shown}");
        chat(&mut bystanders, number).await?;
    }
    cluster.passed()
}

/// Goal: odd but legal spellings are understood. Method: TmtpRev in all of them gets its answer.
#[tokio::test]
async fn odd_spellings_are_understood() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).start().await?;
    let spellings = [
        r#"{"Id":"1","Op":0}"#,
        r#"{"OP":0,"ID":"1"}"#,
        " \t\r\n{ \"op\" : 0 , \"id\" : \"1\" } \n",
        r#"{"op":0,"id":"2"}"#,
        r#"{"id":"","op":12,"id":"1","op":0}"#,
        r#"{"op":0,"id":"1","datalen":0,"for":null,"type":null}"#,
        r#"{"op":0,"id":"1","unknown":{"deep":[1.5,{"x":null}]}}"#,
        "{\"op\":0,\"id\":\"\\ud800 \\u0000\"}",
        "{\"op\":0,\"id\":\"1\",\"da\u{17f}h\":1}",
        r#"{"op":0,"id":"1","for":[{"Id":"U","Type":3}],"datasum":18446744073709551615}"#,
    ];
    for spelling in spellings {
        let mut octets = frame(spelling);
        octets[..4].make_ascii_uppercase();
        // In one piece, and octet by octet.
        for piece in [octets.len(), 1] {
            let mut client = cluster.gateway(0).dial().await?;
            for part in octets.chunks(piece) {
                client.send_raw(part).await?;
            }
            let answer = timeout(WAIT, client.next()).await.context("no answer")??;
            let greeted = matches!(&answer, Some(Frame { response: Response::TmtpRev { .. }, .. }));
            assert!(greeted, "{spelling}: {answer:?}");
        }
    }
    cluster.passed()
}

/// Goal: a whole conversation may come in one segment. Method: TmtpRev, Register, a post to nobody, and Quit in a single
/// write; the answers come in order, and then the proper end.
#[tokio::test]
async fn everything_may_come_at_once() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).start().await?;
    let mut client = cluster.gateway(0).dial().await?;
    let post = [frame(EACH_OP[7]), b"x".to_vec()].concat();
    let all = [frame(EACH_OP[0]), frame(EACH_OP[1]), post, frame(EACH_OP[12])].concat();
    client.send_raw(&all).await?;
    for expected in ["tmtprev", "registered", "info", "ack", "quit"] {
        let next = timeout(WAIT, client.next()).await.context("no answer")??.context("closed early")?;
        assert_eq!(next.response.op(), expected);
        if let Response::Quit { error } = next.response {
            assert_eq!(
                (error.as_ref(), next.raw.as_slice()),
                ("logout ok", &br#"{"error":"logout ok","op":"quit"}"#[..])
            );
        }
    }
    assert!(timeout(WAIT, client.next()).await??.is_none(), "a proper end");
    cluster.passed()
}

/// Goal: what is no TLS, and who says nothing, is let go in silence. Method: plain text, an unfinished handshake, and a
/// link without login, which has to end by itself after five seconds, whatever it sends; and a silent one after login,
/// with two seconds in place of two minutes, while one that sends lives on.
#[tokio::test]
async fn silence_ends_a_link() -> Result<()> {
    let cluster =
        Setup::new().gateways(1).workers(1).gateway_setting("limits.silence_max", "2s").start().await?;
    let gateway = cluster.gateway(0);
    let mut plain = TcpStream::connect(gateway.address()).await?;
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
    wait_for_eof(plain).await.context("plain text")?;
    let mute = TcpStream::connect(gateway.address()).await?;
    let mut greeted = greet(&gateway).await?;

    let mut silent = gateway.connect("silent").await?;
    let mut busy = gateway.connect("busy").await?;
    let ended = tokio::spawn(async move { silent.end().await });
    while !ended.is_finished() {
        busy.expect_nothing_else().await?;
    }
    assert_eq!(ended.await??, End::Closed);
    busy.expect_nothing_else().await?;

    // A valid header that is not finished does not prolong the login.
    greeted.send_raw(&frame(EACH_OP[1])[..10]).await?;
    assert_eq!(end_of(&mut greeted).await?, End::Closed);
    wait_for_eof(mute).await.context("no handshake")?;
    cluster.passed()
}

fn lengths() -> Vec<Row> {
    let rest = r#"{"op":0,"id":"1"}"#;
    let bad = ["0007", "0000", "zzzz", "0x11", "+011", " 011", "00_1", "-001", "\0\0\0\0", "1.00"];
    let rows = bad.iter().flat_map(|length| {
        let input = format!("{length}{rest}").into_bytes();
        [(New, input.clone(), None), (Greeted, input.clone(), LENGTH), (Open, input, LENGTH)]
    });
    rows.chain([(Greeted, b"zzzz".to_vec(), LENGTH)]).collect()
}

/// The table of link states.
fn states() -> Vec<Row> {
    let data = |op: usize| [b"x".as_slice(), b"xx"].get(op.wrapping_sub(7)).copied().unwrap_or_default();
    let input = |op: usize| [frame(EACH_OP[op]), data(op).to_vec()].concat();
    let new = (1..13).map(|op| (New, input(op), None));
    let greeted = (3..13).map(|op| (Greeted, input(op), UNAUTHENTICATED));
    let repeated = [Greeted, Open].map(|state| (state, input(0), REPETITION));
    let connected = (1..3).map(|op| (Open, input(op), CONNECTED));
    new.chain(greeted)
        .chain(repeated)
        .chain(connected)
        .chain([(Open, input(12), Some("logout ok"))])
        .collect()
}

/// What is no JSON of a header.
fn json() -> Vec<Row> {
    let deep = format!(r#"{{"op":0,"id":"1","x":{}{}}}"#, "[".repeat(10_001), "]".repeat(10_001));
    let texts = [
        "????????",
        "[1,2,3,4]",
        "12345678",
        r#""a text""#,
        "null    ",
        r#"{"op":11,}"#,
        r#"{"op":11} x"#,
        r#"{"op":11}{}"#,
        "{\"op\":11/**/}",
        "\u{feff}{\"op\":11}",
        "{\"op\":11,\"x\":\"\u{1}\"}",
        r#"{"op":11,"x":"\x"}"#,
        r#"{"op":11.0}"#,
        r#"{"op":1e1}"#,
        r#"{"op":"11"}"#,
        r#"{"op":+11}"#,
        r#"{"op":011}"#,
        r#"{"op":-1}"#,
        r#"{"op":13}"#,
        r#"{"op":256}"#,
        r#"{"op":null}"#,
        r#"{"id":"no op"}"#,
        &deep,
    ];
    let broken_utf8 = (Greeted, framed(b"{\"\xff\":\"\xff\",\"op\":11}"), UNAUTHENTICATED);
    texts.iter().map(|text| (Greeted, frame(text), HEADER)).chain([broken_utf8]).collect()
}

/// The checks of fields, which come before the link's state is looked at.
fn fields() -> Vec<Row> {
    let texts = [
        // Lengths.
        r#"{"op":11,"datalen":1}"#,
        r#"{"op":11,"datahead":1}"#,
        r#"{"op":7,"id":"i","for":[],"datalen":0}"#,
        r#"{"op":7,"id":"i","for":[]}"#,
        r#"{"op":7,"id":"i","for":[],"datalen":-1}"#,
        r#"{"op":7,"id":"i","for":[],"datalen":9223372036854775808}"#,
        r#"{"op":7,"id":"i","for":[],"datalen":2,"datahead":3}"#,
        r#"{"op":7,"id":"i","for":[],"datalen":2,"datasum":-1}"#,
        r#"{"op":7,"id":"i","for":[],"datalen":2,"notelen":1}"#,
        r#"{"op":8,"id":"i","for":[],"datalen":2}"#,
        r#"{"op":8,"id":"i","for":[],"datalen":2,"notelen":1,"notehead":2}"#,
        // What is mandatory.
        r#"{"op":0}    "#,
        r#"{"op":0,"id":""}"#,
        r#"{"op":1,"newnode":"x"}"#,
        r#"{"op":1,"newalias":"_"}"#,
        r#"{"op":2,"uid":"U"}"#,
        r#"{"op":3,"newalias":"a new alias"}"#,
        r#"{"op":5,"id":"i","gid":"a group","from":"a"}"#,
        r#"{"op":6,"id":"i","gid":"a group"}"#,
        r#"{"op":7,"id":"i","datalen":1}"#,
        r#"{"op":7,"id":"i","for":null,"datalen":1}"#,
        r#"{"op":9,"id":"i","from":"a"}"#,
        r#"{"op":10,"id":"i"}"#,
        // Recipients, also where nobody looks at them.
        r#"{"op":7,"id":"i","for":[{"type":1}],"datalen":1}"#,
        r#"{"op":7,"id":"i","for":[{"id":"U"}],"datalen":1}"#,
        r#"{"op":7,"id":"i","for":[{"id":"U","type":4}],"datalen":1}"#,
        r#"{"op":7,"id":"i","for":[{"id":"U","type":128}],"datalen":1}"#,
        r#"{"op":7,"id":"i","for":{"id":"U","type":1},"datalen":1}"#,
        r#"{"op":9,"id":"i","from":"a","to":"b","notefor":[{"id":"U","type":0}]}"#,
        // Types of fields that the op does not use.
        r#"{"op":11,"act":5}"#,
        r#"{"op":11,"fornotself":"yes"}"#,
        r#"{"op":11,"oidc":{"expires_in":"soon"}}"#,
        r#"{"op":11,"OIDC":7}"#,
    ];
    let mut texts = texts.map(ToOwned::to_owned).to_vec();
    texts.extend(lengths_without_use());
    texts.extend(odd_recipients());
    let rows = texts.iter().flat_map(|text| [(Greeted, frame(text), HEADER), (Open, frame(text), HEADER)]);
    rows.chain(texts.iter().take(3).map(|text| (New, frame(text), None))).collect()
}

/// Operations that take no data, or no note, with some announced.
fn lengths_without_use() -> Vec<String> {
    let with = |op: usize, lengths: &str| {
        let header = EACH_OP[op].strip_suffix('}').expect("a header is an object");
        // The last of two equal fields counts, so what the header has already does no harm.
        format!("{header},{lengths}}}")
    };
    let no_data = [0, 1, 2, 3, 4, 6, 10, 11, 12].map(|op| with(op, r#""datalen":1"#));
    let no_note = (0..13).filter(|op| *op != 8).map(|op| with(op, r#""notelen":1"#));
    let no_note_beside_data = [5, 7, 9].map(|op| with(op, r#""datalen":9,"notelen":1"#));
    let negative = (0..13).flat_map(|op| {
        let fields = ["datalen", "notelen", "datahead", "notehead"];
        fields.map(|field| with(op, &format!(r#""{field}":-1"#)))
    });
    let smallest = [r#""datalen":-9223372036854775808"#, r#""notelen":-9223372036854775809"#];
    let smallest = smallest.map(|lengths| with(8, lengths));
    no_data.into_iter().chain(no_note).chain(no_note_beside_data).chain(negative).chain(smallest).collect()
}

/// Lists of recipients with one bad element, in operations that use the list and in such that do not.
fn odd_recipients() -> Vec<String> {
    let bad = [
        r#"{"id":"U","type":-1}"#,
        r#"{"id":"U","type":0}"#,
        r#"{"id":"U","type":-128}"#,
        r#"{"id":"U","type":-129}"#,
        r#"{"id":"U","type":1.0}"#,
        r#"{"id":"U","type":"1"}"#,
        r#"{"id":"","type":1}"#,
        r#"{"id":1,"type":1}"#,
        r#""U""#,
        "null",
    ];
    let good = r#"{"id":"U","type":1}"#;
    let lists = bad.map(|bad| format!("[{good},{bad}]"));
    lists
        .iter()
        .flat_map(|list| {
            [
                format!(r#"{{"op":7,"id":"i","for":{list},"datalen":1}}"#),
                format!(r#"{{"op":8,"id":"i","for":[],"notefor":{list},"datalen":2,"notelen":1}}"#),
                format!(r#"{{"op":10,"id":"i","type":"ok","notefor":{list}}}"#),
                format!(r#"{{"op":11,"for":{list}}}"#),
            ]
        })
        .chain([
            // An OhiEdit needs no type, but whatever it is has to fit.
            r#"{"op":4,"id":"i","type":"add","for":[{"id":"U","type":-129}]}"#.to_owned(),
            r#"{"op":4,"id":"i","type":"add","for":[{"id":"","type":1}]}"#.to_owned(),
        ])
        .collect()
}

fn logins() -> Vec<Row> {
    let login = |uid: &str, node: &str| frame(&format!(r#"{{"op":2,"uid":"{uid}","node":"{node}"}}"#));
    let (uid, node) = ("%".repeat(32), "%".repeat(40));
    vec![
        (Greeted, login(&uid, "not base32"), Some("corrupt base32 value")),
        (Greeted, login(&uid, &node.to_lowercase().replace('%', "a")), Some("corrupt base32 value")),
        (Greeted, login(&uid, &node[..8]), Some("login failed")),
        (Greeted, login(&uid, &node), Some("login failed")),
        (Greeted, login("nobody", &node), Some("login failed")),
        (Greeted, login(&"x".repeat(5_000), &node), Some("login failed")),
        // The alias is not what is wrong here: the user would exist without it.
        (Greeted, frame(r#"{"op":1,"newnode":"x","newalias":"_","oidc":[]}"#), HEADER),
    ]
}

/// What a client that is logged in must not send.
fn open_links() -> Vec<Row> {
    // Its request still fits into a header, but no ack of it does.
    let id = "i".repeat(65_480);
    vec![
        (Open, frame(r#"{"op":3,"id":"i"}"#), HEADER),
        (Open, frame(r#"{"op":3,"id":"i","newalias":"a new alias","newnode":"x"}"#), HEADER),
        (Open, frame(&format!(r#"{{"op":7,"id":"{id}","for":[],"datalen":1}}"#)), HEADER),
        (Open, frame(&format!(r#"{{"op":3,"id":"{id}","newnode":"x"}}"#)), HEADER),
    ]
}

/// How the connection ends after this input.
async fn end_after(gateway: &Gateway<'_>, state: State, input: &[u8]) -> Result<End> {
    let mut client = match state {
        New => gateway.dial().await?,
        Greeted => greet(gateway).await?,
        Open => gateway.connect("bad").await?.into_client(),
    };
    client.send_raw(input).await?;
    end_of(&mut client).await
}

async fn greet(gateway: &Gateway<'_>) -> Result<Client> {
    let mut client = gateway.dial().await?;
    client.send_raw(&frame(EACH_OP[0])).await?;
    let greeting = timeout(WAIT, client.next()).await.context("no greeting")??;
    ensure!(greeting.is_some(), "closed in place of a greeting");
    Ok(client)
}

/// Two others who must not notice anything.
async fn chat((ann, ben): &mut (Link, Link), number: usize) -> Result<()> {
    let text = format!("still here {number}");
    ann.post(&text, &[ben.uid()], &text).await?;
    ben.take(&text).await?;
    Ok(())
}

async fn wait_for_eof(mut stream: TcpStream) -> Result<()> {
    let mut rest = Vec::new();
    // A TLS alert may come before the end; a reset is an end as well.
    let _ = timeout(WAIT, stream.read_to_end(&mut rest)).await.context("the connection stays open")?;
    Ok(())
}

fn frame(json: &str) -> Vec<u8> {
    framed(json.as_bytes())
}

fn framed(json: &[u8]) -> Vec<u8> {
    [format!("{:04x}", json.len()).as_bytes(), json].concat()
}
