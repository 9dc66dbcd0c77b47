//! A message on its way from one device to others.

use anyhow::Result;
use tmtp_e2e::{Cluster, Link, Setup, barrier, post};
use tmtp_wire::{DataInfo, Recipient, Request, Response, headsum_holds};

/// Questions that are asked and answered.
const ROUNDS: usize = 100;

/// Goal: a message reaches everybody it should and nobody else, unchanged. Method: ann has two devices, on both
/// gateways, and posts to ben on the other one, with head, sum and every octet value; all frames are compared.
#[tokio::test]
async fn a_message_crosses_gateways() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let mut tablet = second_device(&cluster, &mut ann).await?;

    let octets: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let data = DataInfo { len: 10_000, head: 17, sum: u64::MAX };
    let recipients = vec![Recipient { id: ben.uid().to_owned(), kind: 1 }];
    let request = Request::Post { id: "p\0☕".to_owned(), recipients, data };
    let receipt = ann.request(&request, &octets).await?;

    for device in [&mut ben, &mut tablet] {
        let delivery = device.delivery().await?;
        assert_eq!((&delivery.id, &delivery.posted), (&receipt.msg_id, &receipt.posted));
        assert_eq!((delivery.from.as_str(), delivery.info), (ann.uid(), data));
        assert!(delivery.data == octets, "the data has changed");
        device.ack(&delivery.id).await?;
    }
    assert!(tmtp_wire::id::parse_message_id(&receipt.msg_id).is_some(), "{receipt:?}");
    ann.expect_nothing_else().await?;
    ben.expect_nothing_else().await?;

    let answer = ben.post("answer", &[ann.uid()], "thanks").await?;
    assert!(answer.msg_id > receipt.msg_id, "ids grow");
    ann.take("thanks").await?;
    cluster.passed()
}

/// Goal: a message without head and sum has no such fields, and what is always there is there. Method: the raw header
/// of a delivery is compared with its expected spelling.
#[tokio::test]
async fn a_header_is_spelled_as_clients_expect() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(0).connect("ben").await?;
    let receipt = ann.request(&post("p", &[ben.uid()], b"hi"), b"hi").await?;
    let frame = ben.message().await?;
    let Response::Delivery { std, notify: 0 } = &frame.response else { panic!("{:?}", frame.response) };
    assert!(headsum_holds(&frame.raw));
    let raw = String::from_utf8(frame.raw.clone())?;
    let headsum =
        raw.split("\"headsum\":").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
    let expected = format!(
        r#"{{"datalen":2,"from":"{}","headsum":{headsum},"id":"{}","op":"delivery","posted":"{}"}}"#,
        ann.uid(),
        receipt.msg_id,
        receipt.posted
    );
    assert_eq!((raw, std.data), (expected, DataInfo { len: 2, head: 0, sum: 0 }));
    cluster.passed()
}

/// Goal: whoever sends to nobody, to itself, or to one user twice gets what the rules say. Method: each of these from a
/// user with two devices, then nothing else.
#[tokio::test]
async fn odd_recipient_lists_have_their_meaning() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let mut tablet = second_device(&cluster, &mut ann).await?;

    ann.post("to nobody", &[], "to nobody").await?;
    tablet.take("to nobody").await?;
    ann.expect_nothing_else().await?;
    tablet.take(&barrier("ann")).await?;

    ann.post("twice", &[ben.uid(), ben.uid()], "once").await?;
    ben.take("once").await?;
    ben.expect_nothing_else().await?;
    tablet.take("once").await?;
    tablet.expect_nothing_else().await?;
    cluster.passed()
}

/// Goal: the ack of a post comes before any answer to it. Method: ben answers everything at once, on the other gateway;
/// ann looks at the order of what comes, a hundred times.
#[tokio::test]
async fn an_ack_comes_before_the_answer() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let (ann_uid, ben_uid) = (ann.uid().to_owned(), ben.uid().to_owned());
    let answering = tokio::spawn(async move {
        for round in 0..ROUNDS {
            let question = ben.delivery().await?;
            ben.ack(&question.id).await?;
            ben.post(&format!("a{round}"), &[&ann_uid], &question.id).await?;
        }
        anyhow::Ok(())
    });
    for round in 0..ROUNDS {
        let id = format!("q{round}");
        ann.client().send(&post(&id, &[&ben_uid], b"well?"), b"well?").await?;
        let Response::Ack { id: acked, receipt: Some((msg_id, _)), error: None } = ann.next().await?.response
        else {
            panic!("something came before the ack of {id}");
        };
        assert_eq!(acked, id);
        ann.take(&msg_id).await?;
    }
    answering.await??;
    cluster.passed()
}

/// A second device of a user, connected to the second gateway, with nothing waiting on either.
pub async fn second_device(cluster: &Cluster, first: &mut Link) -> Result<Link> {
    let account = crate::nodes::new_node(first, "tablet").await?;
    let mut second = cluster.gateway(1).login("second device", &account).await?;
    crate::nodes::take_new_node(&mut second, "tablet").await?;
    second.take_login_notice().await?;
    first.take_login_notice().await?;
    Ok(second)
}

/// Goal: a window of one message works, as the older server has it: nothing more comes before its ack, and nothing is lost;
/// method: twenty posts, half of them while ben is away; between message and ack ben asks for something, and gets the answer
/// and nothing else.
#[tokio::test]
async fn one_message_at_a_time() -> Result<()> {
    const COUNT: usize = 20;
    let cluster = Setup::new()
        .worker_setting("delivery.window_count", "1")
        .worker_setting("delivery.window_bytes", "1")
        .start()
        .await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let account = ben.account().clone();
    for number in 0..COUNT {
        if number == COUNT / 2 {
            ben.quit().await?;
            ben = cluster.gateway(0).login("ben", &account).await?;
        }
        ann.post(&format!("post {number}"), &[&account.uid], &format!("text {number}")).await?;
        if number == COUNT / 2 - 1 {
            // What came is not acked: it comes again.
            ben.delivery().await?;
        }
    }
    for number in 0..COUNT {
        if number == COUNT / 2 {
            ben.take_login_notice().await?;
        }
        let delivery = ben.delivery().await?;
        assert_eq!(delivery.data, format!("text {number}").into_bytes());
        let request = post(&format!("ask {number}"), &[], b"x");
        ben.client().send(&request, b"x").await?;
        let next = ben.next().await?;
        assert!(matches!(next.response, Response::Ack { .. }), "{:?} came before the ack", next.response);
        ben.ack(&delivery.id).await?;
    }
    ben.expect_nothing_else().await?;
    cluster.passed()
}
