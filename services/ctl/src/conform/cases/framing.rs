//! Sections 1 and 2: transport, the two ways of ending, lengths, packaging.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Case, case};
use crate::conform::frame::request;
use crate::conform::link::{Fault, fault, fresh, same};
use crate::conform::world::HELLO;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = transport();
    cases.extend(lengths());
    cases.extend(packaging());
    cases
}

fn transport() -> Vec<Case> {
    vec![
        case(1, "what is no TLS is not talked to", |world| async move {
            let attempt = async {
                let mut tcp = TcpStream::connect(world.address()).await?;
                tcp.write_all(b"0011{\"op\":0,\"id\":\"1\"}0011{\"op\":0,\"id\":\"1\"}").await?;
                let mut said = Vec::new();
                // A reset is an end, too.
                let _ = tcp.read_to_end(&mut said).await;
                std::io::Result::Ok(said)
            };
            let said = tokio::time::timeout(world.patience, attempt).await;
            let said = said.map_err(|_| Fault("expected the end of the connection, got nothing".into()))?;
            let said = said.map_err(|error| Fault(error.to_string()))?;
            if said.windows(7).any(|octets| octets == b"tmtprev") { fault("got a tmtprev") } else { Ok(()) }
        })
        .anonymous(),
        case(1, "quit ends the link properly, after the frame", |world| async move {
            let mut user = world.user().await?;
            user.link.send(json!({"op": 12}), b"").await;
            user.link.quits("logout ok").await
        }),
        case(1, "the node is free when the quit frame comes", |world| async move {
            let mut user = world.user().await?;
            for _ in 0..5 {
                user.link.send(json!({"op": 12}), b"").await;
                user.link.quit_frame("logout ok").await?;
                user.link = world.login(&user.uid, &user.node, user.here()).await?;
            }
            Ok(())
        }),
        case(1, "a node whose link was lost can log in again", |world| async move {
            let user = world.user().await?;
            let (uid, node, there) = (user.uid.clone(), user.node.clone(), user.elsewhere());
            drop(user);
            world.login_again(&uid, &node, there).await.map(|_| ())
        }),
        case(1, "what is behind a Quit has no effect", |world| async move {
            let mut user = world.user().await?;
            let post = json!({"op": 7, "id": fresh(), "for": [{"id": user.uid, "type": 1}], "datalen": 1});
            let octets = [request(b"{\"op\":12}", b""), request(post.to_string().as_bytes(), b"x")].concat();
            user.link.send_raw(&octets).await;
            user.link.quits("logout ok").await?;
            let mut again = world.login(&user.uid, &user.node, user.here()).await?;
            again.message(json!({"op": "login", "from": user.uid, "node": "tbd"}), b"").await?;
            again.nothing().await
        }),
        case(
            1,
            "what is behind a bad header has no effect, and the quit frame arrives",
            |world| async move {
                let mut user = world.user().await?;
                let post =
                    json!({"op": 7, "id": fresh(), "for": [{"id": user.uid, "type": 1}], "datalen": 1});
                let octets =
                    [request(b"{\"op\":13}", b""), request(post.to_string().as_bytes(), b"x")].concat();
                user.link.send_raw(&octets).await;
                user.link.quits("invalid header").await?;
                let mut again = world.login(&user.uid, &user.node, user.here()).await?;
                again.message(json!({"op": "login", "from": user.uid, "node": "tbd"}), b"").await?;
                again.nothing().await
            },
        ),
    ]
}

/// Octets of a first request whose length digits are these.
fn spoiled(digits: &'static [u8]) -> Vec<u8> {
    [digits, br#"{"id":"1","op":0}   "#].concat()
}

fn lengths() -> Vec<Case> {
    let bad: [(&str, &'static [u8]); 9] = [
        ("7", b"0007"),
        ("0", b"0000"),
        ("a sign", b"+011"),
        ("another sign", b"-011"),
        ("a blank", b" 011"),
        ("a prefix", b"0x11"),
        ("an underscore", b"0_11"),
        ("a letter behind f", b"001g"),
        ("octets in place of digits", b"\0\0\0\x11"),
    ];
    let mut cases: Vec<Case> = bad
        .into_iter()
        .map(|(what, digits)| {
            case(2, format!("a length is refused: {what}"), move |world| async move {
                let mut link = world.greeted().await?;
                link.send_raw(&spoiled(digits)).await;
                link.quits("invalid header length").await
            })
            .anonymous()
        })
        .collect();
    // Where nothing is said before the greeting, a bad length is no exception.
    cases.push(
        case(2, "a bad length before the greeting ends the link silently", |world| async move {
            let mut link = world.link().await?;
            link.send_raw(&spoiled(b"0007")).await;
            link.ends_silently().await
        })
        .anonymous(),
    );
    let good: [(&str, &'static [u8], usize); 4] = [
        ("lower-case digits", b"001a", 26),
        ("upper-case digits", b"001A", 26),
        ("the shortest header that means something", b"0009", 9),
        ("65535 octets", b"FfFf", 65_535),
    ];
    cases.extend(good.into_iter().map(|(what, digits, len)| {
        case(2, format!("a length is taken: {what}"), move |world| async move {
            let mut link = world.greeted().await?;
            let header = format!("{:len$}", r#"{"op":11}"#);
            link.send_raw(&[digits, header.as_bytes()].concat()).await;
            link.quits("disallowed op on unauthenticated link").await
        })
        .anonymous()
    }));
    cases.push(
        case(2, "white space around the object belongs to the header", |world| async move {
            let mut link = world.link().await?;
            link.send_text("\t\r\n {\"op\":0,\"id\":\"1\"} \n\r\t", b"").await;
            link.answer("tmtprev").await.map(|_| ())
        })
        .anonymous(),
    );
    cases
}

fn packaging() -> Vec<Case> {
    vec![
        case(2, "a frame may come octet by octet, each in a TLS record of its own", |world| async move {
            let mut link = world.link().await?;
            for octet in request(HELLO.as_bytes(), b"") {
                link.send_raw(&[octet]).await;
            }
            link.answer("tmtprev").await.map(|_| ())
        })
        .anonymous(),
        case(2, "TmtpRev, Register, Post and Quit may come in one write", |world| async move {
            let mut link = world.link().await?;
            let alias = world.name("Hasty");
            let register = json!({"op": 1, "newnode": "n", "newalias": alias}).to_string();
            let octets = [
                request(HELLO.as_bytes(), b""),
                request(register.as_bytes(), b""),
                request(br#"{"op":7,"id":"p","for":[],"datalen":2}"#, b"hi"),
                request(br#"{"op":12}"#, b""),
            ];
            link.send_raw(&octets.concat()).await;
            for op in ["tmtprev", "registered", "info"] {
                link.answer(op).await?;
            }
            link.expect_ack(json!({"op": "ack", "id": "p", "msgid": "*", "posted": "*"})).await?;
            link.quits("logout ok").await
        }),
        case(2, "digits, header, subheader and data may come in writes of their own", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let header =
                json!({"op": 7, "id": "p", "for": [{"id": ben.uid, "type": 1}], "datalen": 7, "datahead": 2});
            let octets = request(header.to_string().as_bytes(), b"{}hello");
            let end = octets.len();
            for piece in [0..4, 4..end - 7, end - 7..end - 5, end - 5..end] {
                ann.link.send_raw(&octets[piece]).await;
            }
            ann.link.next_ack().await?;
            ben.link.message(json!({"op": "delivery", "from": ann.uid, "datahead": 2}), b"{}hello").await?;
            Ok(())
        }),
        case(2, "a hundred requests in one write are acked in their order", |world| async move {
            let mut user = world.user().await?;
            let mut octets = Vec::new();
            for number in 0..100 {
                let header = json!({"op": 7, "id": format!("p{number}"), "for": [], "datalen": 3});
                octets.extend(request(header.to_string().as_bytes(), b"abc"));
            }
            user.link.send_raw(&octets).await;
            let mut last = String::new();
            for number in 0..100 {
                let ack = user.link.next_ack().await?;
                let receipt = super::super::link::receipt(&ack)?;
                same("id", ack["id"].as_str(), Some(format!("p{number}").as_str()))?;
                if receipt.id <= last {
                    return fault(format!("message id {} behind {last}", receipt.id));
                }
                last = receipt.id;
            }
            Ok(())
        }),
        case(2, "data that looks like frames is data", |world| async move {
            let mut user = world.user().await?;
            let data = request(br#"{"op":12}"#, b"");
            let uid = user.uid.clone();
            user.post(&uid, &data).await?;
            let expected = user.delivery();
            user.link.message(expected, &data).await?;
            user.link.nothing().await
        }),
        case(2, "300 KiB of data come through unchanged", |world| async move {
            let [mut ann, mut ben] = world.users().await?;
            let data: Vec<u8> =
                (0_u32..300 << 10).map(|place| ((place * 31) >> 3).to_le_bytes()[0]).collect();
            ann.post(&ben.uid, &data).await?;
            let message = ben.link.next_message().await?;
            if message.data == data {
                ben.link.nothing().await
            } else {
                fault(format!("got {} other octets", message.data.len()))
            }
        }),
    ]
}
