//! Sections 15 and 17: times and limits, and what has broken servers. After each of these the server has to be there
//! for others as before.
#![expect(clippy::too_many_lines, reason = "a list of cases, each of them short")]

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Case, case};
use crate::conform::link::{Link, Result, fault, fresh, same};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = times();
    cases.extend(monsters());
    cases
}

/// The link ends silently, after this time (but a server may need a moment), whatever `keep_busy` does meanwhile.
async fn ends_after(link: &mut Link, wait: Duration, busy: &[u8]) -> Result<String> {
    let began = Instant::now();
    let (early, late) = (wait.mul_f32(0.9), wait.mul_f32(1.5) + Duration::from_secs(2));
    loop {
        let pause = if busy.is_empty() { late } else { Duration::from_millis(700) };
        match link.end_within(pause.min(late)).await {
            Ok(end) => {
                let took = began.elapsed();
                let end = crate::conform::link::describe(&end);
                return match end.as_str() {
                    "a silent end" if took >= early && took <= late => {
                        Ok(format!("{end} after {:.1} s", took.as_secs_f32()))
                    }
                    _ => fault(format!(
                        "expected a silent end after {} s, got {end} after {:.1} s",
                        wait.as_secs(),
                        took.as_secs_f32()
                    )),
                };
            }
            Err(_) if began.elapsed() < late => link.send_raw(busy).await,
            Err(why) => return Err(why),
        }
    }
}

const LOGIN: Duration = Duration::from_secs(5);

fn times() -> Vec<Case> {
    vec![
        case(15, "a link without TmtpRev ends after five seconds", |world| async move {
            ends_after(&mut world.link().await?, LOGIN, b"").await
        })
        .anonymous(),
        case(15, "a greeted link without a login ends after five seconds", |world| async move {
            ends_after(&mut world.greeted().await?, LOGIN, b"").await
        })
        .anonymous(),
        case(15, "a login that is sent octet by octet has five seconds, too", |world| async move {
            let mut link = world.greeted().await?;
            link.send_raw(b"ffff").await;
            ends_after(&mut link, LOGIN, b" ").await
        })
        .anonymous(),
        case(15, "a connection without a TLS handshake ends after five seconds", |world| async move {
            let tcp = TcpStream::connect(world.address()).await;
            let tcp = tcp.map_err(|error| crate::conform::link::Fault(error.to_string()))?;
            let began = Instant::now();
            let ended = tokio::time::timeout(LOGIN * 2, async {
                tcp.readable().await?;
                tcp.try_read(&mut [0; 64])
            });
            match (ended.await, began.elapsed().as_secs_f32()) {
                (Ok(Ok(0) | Err(_)), took) if took > 4.0 => Ok(format!("ended after {took:.1} s")),
                (got, took) => fault(format!("expected the end after 5 s, got {got:?} after {took:.1} s")),
            }
        })
        .anonymous(),
        case(15, "a link that says nothing ends after two minutes", |world| async move {
            let mut user = world.user().await?;
            ends_after(&mut user.link, Duration::from_mins(2), b"").await
        })
        .slow(),
        case(15, "a link that sends a Pulse now and then does not end", |world| async move {
            let mut user = world.user().await?;
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                user.link.send(json!({"op": 11}), b"").await;
            }
            user.link.nothing().await
        })
        .slow(),
    ]
}

fn monsters() -> Vec<Case> {
    let long = |name: &str, header: fn(&str, &str) -> Value, text: Option<fn(&str, &str) -> String>| {
        case(17, format!("a name of 60,000 octets is survived: {name}"), move |world| async move {
            let mut user = world.user().await?;
            let name = "n".repeat(60_000);
            let mut header = header(&name, &user.alias);
            header["id"] = json!("i");
            let ack = user.link.request(header, b"").await?;
            match (ack["error"].as_str(), text.map(|text| text(&name, &user.uid))) {
                (None, _) => return fault("it was not refused"),
                (Some(got), Some(text)) => same("error", got, text.as_str())?,
                (Some(_), None) => {}
            }
            user.link.nothing().await
        })
        .differs()
    };
    vec![
        long("an alias", |name, _| json!({"op": 3, "newalias": name}), None),
        long(
            "to of a Ping",
            |name, alias| json!({"op": 9, "from": alias, "to": name}),
            Some(|name, _| format!("Lookup: iAlias {name} not found")),
        ),
        long(
            "from of a Ping",
            |name, alias| json!({"op": 9, "from": name, "to": alias}),
            Some(|_, _| "from must identify sender".to_owned()),
        ),
        long("gid of a GroupInvite", |name, alias| json!({"op": 5, "gid": name, "from": alias, "to": alias}), None),
        long(
            "gid of a GroupEdit",
            |name, _| json!({"op": 6, "act": "join", "gid": name}),
            Some(|name, _| format!("GroupJoin: iGid {name} not found")),
        ),
        long("a uid of an OhiEdit", |name, _| json!({"op": 4, "type": "add", "for": [{"id": name}]}), None),
        case(17, "a login with a uid of 60,000 octets fails", |world| async move {
            let user = world.user().await?;
            world.knock(&"U".repeat(60_000), &user.node, user.here()).await?.quits("login failed").await
        })
        .differs(),
        case(17, "a registration with an alias of 60,000 octets makes a user", |world| async move {
            let mut link = world.greeted().await?;
            link.send(json!({"op": 1, "newnode": "n", "newalias": "n".repeat(60_000)}), b"").await;
            let registered = link.answer("registered").await?;
            if registered.contains_key("error") { Ok(()) } else { fault("the alias was not refused") }
        })
        .differs(),
        case(17, "a Ping to .. and a Post to the group . are refused", |world| async move {
            let mut user = world.user().await?;
            let ping = json!({"op": 9, "id": "i", "from": user.alias, "to": ".."});
            user.link.refused(ping, b"", "Lookup: iAlias .. not found").await?;
            let post = json!({"op": 7, "id": "i", "for": [{"id": ".", "type": 2}]});
            user.link.refused(post, b"x", "GroupGetUsers: iGid . not found").await
        })
        .differs(),
        case(17, "a request of 2^63-1 octets disturbs nobody", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            for header in [
                json!({"op": 7, "id": fresh(), "for": [{"id": ben.uid, "type": 1}], "datalen": i64::MAX}),
                json!({"op": 8, "id": fresh(), "for": [{"id": ben.uid, "type": 1}], "datalen": i64::MAX, "notelen": 1}),
            ] {
                ann.link.send_text(&header.to_string(), &vec![b'x'; 20_000]).await;
                drop(ann.link);
                ann.link = world.login_again(&ann.uid, &ann.node, true).await?.0;
                ann.link.settle().await?;
            }
            ben.link.nothing().await
        })
        .differs(),
        case(17, "a request whose ack fits into no header ends the link", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let id = "i".repeat(65_450);
            let post = json!({"op": 7, "id": id, "for": [], "datalen": 1});
            ann.link.send(post, b"x").await;
            ann.link.quits("invalid header").await?;
            ben.link.nothing().await
        })
        .differs(),
        case(17, "a label that fits into no header is refused", |world| async move {
            let mut user = world.user().await?;
            let label = "\u{1}".repeat(10_890);
            let ack = user.link.request(json!({"op": 3, "id": "i", "newnode": label}), b"").await?;
            if ack.get("error").is_none() {
                return fault("it was not refused");
            }
            user.link.nothing().await
        })
        .differs(),
        case(17, "a recipient who is named 1,200 times gets one copy", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let element = format!(r#"{{"id":"{}","type":1}}"#, ben.uid);
            let list = vec![element.as_str(); 1200].join(",");
            ann.link.send_text(&format!(r#"{{"op":7,"id":"i","datalen":5,"for":[{list}]}}"#), b"hello").await;
            ann.link.next_ack().await?;
            ben.link.message(ann.delivery(), b"hello").await?;
            ben.link.nothing().await
        }),
        case(17, "a thousand useless acks stall nobody", |world| async move {
            let mut user = world.user().await?;
            for number in 0..1000 {
                user.link.send(json!({"op": 10, "id": format!("{number:016x}"), "type": "ok"}), b"").await;
            }
            user.link.nothing().await
        }),
        case(17, "who never reads disturbs nobody, and can log in again", |world| async move {
            let [mut ann, ben, mut cleo] = world.users().await?;
            let data = vec![b'x'; 1 << 20];
            let list = json!([{"id": ben.uid, "type": 1}, {"id": cleo.uid, "type": 1}]);
            for _ in 0..8 {
                ann.link.store(json!({"op": 7, "id": fresh(), "for": list}), &data).await?;
                cleo.link.message(ann.delivery(), &data).await?;
            }
            let (uid, node) = (ben.uid.clone(), ben.node.clone());
            drop(ben);
            let (mut again, _) = world.login_again(&uid, &node, true).await?;
            for _ in 0..8 {
                again.message(ann.delivery(), &data).await?;
            }
            again.message(json!({"op": "login", "from": uid, "node": "tbd"}), b"").await?;
            again.nothing().await
        }),
    ]
}
