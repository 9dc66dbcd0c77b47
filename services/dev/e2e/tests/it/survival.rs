//! Requests that have broken servers of this protocol: names as long as headers, lengths near the end of numbers, lists
//! that name somebody a thousand times, acks that mean nothing. They are answered, and nobody else notices.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use tmtp_client::Error;
use tmtp_domain::Registration;
use tmtp_e2e::{End, Link, Pure, Setup, WAIT, post};
use tmtp_testkit::eventually;
use tmtp_wire::{DataInfo, Decoder, Item, Recipient, Request, Response};

const ANN: &str = "Ann Example";
const TOO_LARGE: &str = "request too large to express in a header";

fn ping(from: &str, to: &str) -> Request {
    Request::Ping { id: "ping".into(), from: from.into(), to: to.into(), data: DataInfo::default() }
}

fn invite(gid: &str, from: &str, to: &str) -> Request {
    let data = DataInfo::default();
    Request::GroupInvite { id: "invite".into(), gid: gid.into(), from: from.into(), to: to.into(), data }
}

fn group(gid: &str, act: &str, to: Option<&str>, new_alias: Option<&str>) -> Request {
    Request::GroupEdit {
        id: "group".into(),
        act: act.into(),
        gid: gid.into(),
        to: to.map(Into::into),
        new_alias: new_alias.map(Into::into),
    }
}

fn to(id: &str, kind: i8) -> Request {
    let mut request = post("post", &[id], b"x");
    if let Request::Post { recipients, .. } = &mut request {
        recipients[0].kind = kind;
    }
    request
}

/// A header with its length in front, and data.
fn raw(json: &str, data: &[u8]) -> Vec<u8> {
    [format!("{:04x}{json}", json.len()).as_bytes(), data].concat()
}

/// Two people who talk, whatever others do.
async fn talk(ann: &mut Link, ben: &mut Link, round: &str) -> Result<()> {
    ann.post(round, &[ben.uid()], round).await?;
    ben.take(round).await?;
    Ok(())
}

/// Goal: names that no alias, group or user can have are refused or not found in the ack, with the text of their operation,
/// and cut down where they do not fit into it. Method: an odd, a long, and an enormous name in every place.
#[tokio::test]
async fn impossible_names_are_refused() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect_as("ann", ANN).await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let uid = ann.uid().to_owned();
    for name in [".", "..", "nul\0byte name", "x/../z", &"n".repeat(300), &"é".repeat(30_000)] {
        let short = name.len() < 8;
        let cases = [
            (ping(name, ANN), "from must identify sender".to_owned()),
            (ping(ANN, name), format!("Lookup: iAlias {name} not found")),
            (invite("the group", name, ANN), format!("GroupInvite: iByAlias {name} not for iByUid {uid}")),
            (invite("the group", ANN, name), format!("GroupInvite: iAlias {name} not found")),
            (group(name, "join", None, None), format!("GroupJoin: iGid {name} not found")),
            (group(name, "alias", None, Some("x")), format!("GroupAlias: iGid {name} not found")),
            (group(name, "drop", Some("x"), None), format!("GroupQuit: iGid {name} not found")),
            (to(name, 2), format!("GroupGetUsers: iGid {name} not found")),
            (to(name, 3), format!("GroupGetUsers: iGid {name} not found")),
        ];
        for (request, expected) in cases {
            let data: &[u8] = if matches!(request, Request::Post { .. }) { b"x" } else { b"" };
            let text = ann.refused(&request, data).await?;
            let cut = expected.len() > 60_000 && text == TOO_LARGE;
            ensure!(cut || text == expected, "{:?}: {text:.200}", request.op());
        }
        let new_alias = Request::UserEdit { id: "edit".into(), new_node: None, new_alias: Some(name.into()) };
        let text = ann.refused(&new_alias, b"").await?;
        let is_refused =
            text.starts_with(if short { "newalias must be" } else { "AddAlias: invalid string" });
        ensure!(is_refused || text == TOO_LARGE, "{text:.200}");
    }
    talk(&mut ann, &mut ben, "names").await?;
    cluster.passed()
}

/// Goal: a name that is nobody's does not even reach the rules before a login. Method: log in and register with long and odd
/// names.
#[tokio::test]
async fn impossible_names_do_not_log_in() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let account = ann.account().clone();
    for uid in [".", "..", &"Z".repeat(4_000), &"é".repeat(20_000)] {
        let mut account = account.clone();
        account.uid = uid.to_owned();
        let refused = cluster.gateway(0).try_login(&account).await;
        ensure!(matches!(&refused, Err(Error::Quit(text)) if text == "login failed"), "{:?}", refused.err());
    }
    for (alias, expected) in [
        ("..", "newalias must be"),
        (&"n".repeat(300), "AddAlias: invalid"),
        (&"é".repeat(32_700), TOO_LARGE),
    ] {
        let (_client, account) = cluster.gateway(0).try_register(alias).await?;
        let error = account.alias_error.unwrap_or_default();
        ensure!(error.starts_with(expected), "{error:.200}");
    }
    talk(&mut ann, &mut ben, "logins").await?;
    cluster.passed()
}

/// Goal: lengths, lists and acks of any size do no harm. Method: a post that announces 2^63-1 octets, one that names ben a
/// thousand times, ten thousand acks that mean nothing, a request id that no ack can hold, and a list of presence that no
/// message can hold.
#[tokio::test]
async fn impossible_sizes_do_no_harm() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;

    let endless = r#"{"op":7,"id":"x","for":[],"datalen":9223372036854775807}"#;
    let forward = r#"{"op":8,"id":"x","for":[],"datalen":9223372036854775807,"notelen":9223372036854775806}"#;
    for json in [endless, forward] {
        let mut cid = cluster.gateway(0).connect("cid").await?;
        cid.client().send_raw(&raw(json, &vec![b'x'; 20_000])).await?;
        talk(&mut ann, &mut ben, json).await?;
        drop(cid);
    }
    let long_text = r#"{"op":9,"id":"x","from":"a","to":"b","datalen":9223372036854775807}"#;
    let mut cid = cluster.gateway(0).connect("cid").await?;
    cid.client().send_raw(&raw(long_text, b"x")).await?;
    let end = cid.end().await?;
    ensure!(end == End::Quit("data too long for request type".into()), "{end:?}");

    let item = Recipient { id: ben.uid().to_owned(), kind: 1 };
    let data = DataInfo { len: 4, head: 0, sum: 0 };
    let often = Request::Post { id: "often".into(), recipients: vec![item; 1_000], data };
    ann.request(&often, b"once").await?;
    ben.take("once").await?;

    let acks: Vec<u8> = (0..10_000_u64)
        .flat_map(|id| raw(&format!(r#"{{"op":10,"id":"{id:016X}","type":"ok"}}"#), b""))
        .collect();
    ann.client().send_raw(&acks).await?;
    talk(&mut ann, &mut ben, "acks").await?;

    let mut cid = cluster.gateway(0).connect("cid").await?;
    let long_id = Request::Post { id: "\u{1}".repeat(10_900), recipients: Vec::new(), data };
    cid.client().send(&long_id, b"data").await?;
    let end = cid.end().await?;
    ensure!(end == End::Quit("invalid header".into()), "{end:?}");

    // Each item is spelled longer in the message than here.
    let list = vec![format!(r#"{{"id":"{}"}}"#, ben.uid()); 1_400].join(",");
    let json = format!(r#"{{"op":4,"id":"ohi","type":"add","for":[{list}]}}"#);
    ann.client().send_raw(&raw(&json, b"")).await?;
    let refused = ann.acked("ohi").await.err().and_then(|error| error.downcast::<Error>().ok());
    ensure!(matches!(&refused, Some(Error::Refused(text)) if text == TOO_LARGE), "{refused:?}");
    talk(&mut ann, &mut ben, "lists").await?;
    cluster.passed()
}

/// Goal: a user can be named any number of times while its record changes; method: ann names ben a thousand times in each
/// of many posts, while ben takes names and devices; everything is answered and everything arrives.
#[tokio::test]
async fn changes_under_a_thousand_names_do_no_harm() -> Result<()> {
    const POSTS: usize = 40;
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let item = Recipient { id: ben.uid().to_owned(), kind: 1 };
    let data = DataInfo { len: 4, head: 0, sum: 0 };
    let posting = async {
        for number in 0..POSTS {
            let id = format!("often {number}");
            let often = Request::Post { id, recipients: vec![item.clone(); 1_000], data };
            ann.request(&often, b"once").await?;
        }
        anyhow::Ok(())
    };
    let changing = async {
        for number in 0..POSTS {
            let name = Some(format!("Ben the {number}th"));
            let (new_alias, new_node) = if number % 2 == 0 { (name, None) } else { (None, name) };
            let edit = Request::UserEdit { id: format!("edit {number}"), new_node, new_alias };
            ben.client().send(&edit, b"").await?;
        }
        let (mut edits, mut users, mut posts) = (0, 0, 0);
        while (edits, users, posts) != (POSTS, POSTS, POSTS) {
            let frame = ben.next().await?;
            match &frame.response {
                Response::Ack { error: None, .. } => edits += 1,
                Response::User { .. } => users += 1,
                Response::Delivery { .. } => posts += 1,
                other => bail!("{other:?}"),
            }
            if let Some(std) = frame.response.std() {
                let id = std.id.clone();
                ben.ack(&id).await?;
            }
        }
        Ok(())
    };
    tokio::try_join!(posting, changing)?;
    talk(&mut ann, &mut ben, "afterwards").await?;
    ben.expect_nothing_else().await?;
    cluster.passed()
}

/// Goal: a notice is not lost because its receiver is being written to; method: cid shows presence to ben, who has begun to
/// get 20 MB and takes them only afterwards.
#[tokio::test]
async fn notices_come_behind_large_bodies() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let mut cid = cluster.gateway(0).connect("cid").await?;
    let data = vec![b'x'; 20 << 20];
    ann.request(&post("large", &[ben.uid()], &data), &data).await?;
    let out = async || {
        let octets = cluster.gateway(1).metric("tmtp_gateway_body_octets_out_total").await.ok()?;
        (octets > 0.0).then_some(())
    };
    eventually(WAIT, "the body to be on its way", out).await?;
    for kind in ["init", "drop", "init"] {
        let recipients = vec![Recipient { id: ben.uid().to_owned(), kind: 1 }];
        cid.request(&Request::OhiEdit { id: kind.into(), recipients, kind: kind.into() }, b"").await?;
    }
    let delivery = ben.delivery().await?;
    ensure!(delivery.data == data, "the body has changed");
    ben.ack(&delivery.id).await?;
    let notice = ben.next().await?;
    let online = matches!(&notice.response, Response::Ohi { from, status: 1 } if *from == cid.uid());
    ensure!(online, "{:?}", notice.response);
    ben.expect_nothing_else().await?;
    cluster.passed()
}

/// Goal: whoever has 1,900 contacts who are all online can log in, and hears of each once; method: as many sessions without
/// a process, all of which show presence to one user.
#[test]
fn a_crowd_of_contacts_is_online() -> Result<()> {
    const CROWD: usize = 1_900;
    let mut pure = Pure::new("The crowd", Registration::Open);
    let join = |pure: &mut Pure, gateway| {
        let link = pure.connect(gateway);
        let hello = [raw(r#"{"op":0,"id":"1"}"#, b""), raw(r#"{"op":1,"newnode":"n","newalias":"_"}"#, b"")];
        pure.send(link, &hello.concat());
        let frames = responses(&pure.read(link))?;
        match &frames[1] {
            Response::Registered { uid, node_id, .. } => Ok((link, uid.to_string(), node_id.to_string())),
            other => bail!("{other:?}"),
        }
    };
    let (link, uid, node) = join(&mut pure, 0)?;
    pure.close(link);
    let mut crowd = BTreeSet::new();
    for number in 0..CROWD {
        let (link, other, _) = join(&mut pure, number % 2)?;
        let show = format!(r#"{{"op":4,"id":"o","type":"init","for":[{{"id":"{uid}"}}]}}"#);
        pure.send(link, &raw(&show, b""));
        crowd.insert(other);
    }
    let link = pure.connect(1);
    let login = format!(r#"{{"op":2,"uid":"{uid}","node":"{node}"}}"#);
    pure.send(link, &[raw(r#"{"op":0,"id":"1"}"#, b""), raw(&login, b"")].concat());
    let frames = responses(&pure.read(link))?;
    let mut told = Vec::new();
    for (place, frame) in frames.into_iter().skip(1).enumerate() {
        match frame {
            Response::Info { ohi, .. } if place == 0 => told.extend(ohi.into_iter().map(String::from)),
            Response::Ohi { from, status: 1 } => told.push(from.into()),
            Response::Login { .. } => {}
            other => bail!("{other:?}"),
        }
    }
    ensure!(told.len() == CROWD && told.into_iter().collect::<BTreeSet<_>>() == crowd, "not each once");
    let post = format!(r#"{{"op":7,"id":"p","for":[{{"id":"{uid}","type":1}}],"datalen":1}}"#);
    pure.send(link, &raw(&post, b"x"));
    let frames = responses(&pure.read(link))?;
    let works = matches!(&frames[..], [Response::Ack { .. }, Response::Delivery { .. }]);
    ensure!(works, "{frames:?}");
    Ok(())
}

/// The frames in these octets. None has a header that is longer than headers can be: the decoder would not take it.
fn responses(mut octets: &[u8]) -> Result<Vec<Response<'static>>> {
    let mut decoder = Decoder::<Response<'static>>::new();
    let mut responses = Vec::new();
    while let Some(item) = decoder.next(&mut octets)? {
        if let Item::Header { header, .. } = item {
            responses.push(header);
        }
    }
    ensure!(decoder.is_idle(), "half a frame");
    Ok(responses)
}
