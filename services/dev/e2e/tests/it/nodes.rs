//! Devices and aliases: what a new device gets, and what an edit of the user says and does.

use anyhow::{Result, ensure};
use tmtp_client::{Account, Frame};
use tmtp_e2e::{Link, Setup, barrier};
use tmtp_wire::{Request, Response, UserChange};

/// Goal: a new device gets what it needs, in the right order. Method: ann's only device leaves two messages unacked and
/// asks for another; the new one logs in through the other gateway and finds its own making (urgent), the two messages
/// and its login notice, and both devices go on equal.
#[tokio::test]
async fn a_new_device_gets_what_waits() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    for text in ["acked", "waits", "waits too"] {
        ben.post(text, &[ann.uid()], text).await?;
    }
    ann.take("acked").await?;
    let waiting = [ann.delivery().await?, ann.delivery().await?];

    let account = new_node(&mut ann, "tablet").await?;
    let mut tablet = cluster.gateway(1).login("tablet", &account).await?;
    take_new_node(&mut tablet, "tablet").await?;
    for expected in &waiting {
        assert_eq!(tablet.delivery().await?, *expected);
        tablet.ack(&expected.id).await?;
    }
    tablet.take_login_notice().await?;
    tablet.expect_nothing_else().await?;

    ann.take_login_notice().await?;
    for message in &waiting {
        ann.ack(&message.id).await?;
    }
    ann.take(&barrier("tablet")).await?;
    ben.post("both", &[ann.uid()], "both").await?;
    ann.take("both").await?;
    tablet.take("both").await?;
    cluster.passed()
}

/// Goal: an alias reaches all devices of its owner and nobody else gets it. Method: two devices of ann, one alias; then
/// the same again, which is a success, and ben wants it, too.
#[tokio::test]
async fn an_alias_has_one_owner() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let mut tablet = crate::delivery::second_device(&cluster, &mut ann).await?;
    for id in ["first", "again"] {
        let receipt = ann.request(&alias(id, "ann of ☕"), b"").await?;
        assert_eq!((receipt.msg_id.as_str(), receipt.posted.as_str()), ("", ""), "an edit has no receipt");
        for device in [&mut ann, &mut tablet] {
            let frame = device.message().await?;
            let Response::User { std, change } = &frame.response else { panic!("{:?}", frame.response) };
            assert_eq!(*change, UserChange::Alias("ann of ☕".into()));
            device.ack(&std.id).await?;
        }
    }
    let refusal = ben.refused(&alias("ben too", "ann of ☕"), b"").await?;
    assert_eq!(refusal, "AddAlias: alias ann of ☕ already taken");
    ben.expect_nothing_else().await?;

    let (_, account) = cluster.gateway(0).try_register("ann of ☕").await?;
    assert_eq!(account.alias_error.as_deref(), Some("AddAlias: alias ann of ☕ already taken"));
    let (_, account) = cluster.gateway(0).try_register("somebody else").await?;
    assert_eq!(account.alias_error, None);
    cluster.passed()
}

/// Goal: refused edits and posts say why, word by word, and change nothing. Method: a table of requests and texts, and
/// then a look whether anything came of them.
#[tokio::test]
async fn refusals_have_their_texts() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let nobody = "%".repeat(32);
    let table = [
        (alias("a", "short"), "newalias must be 8+ characters".to_owned()),
        (alias("b", "_"), "newalias must be 8+ characters".to_owned()),
        (alias("c", "invisible\u{200b}"), "AddAlias: invalid string 'invisible\u{200b}'".to_owned()),
        (tmtp_e2e::post("d", &[&nobody], b"x"), format!("OpenNodes: iUid {nobody} not found")),
        (tmtp_e2e::post("e", &["a uid?"], b"x"), "fetchUser: invalid string 'a uid?'".to_owned()),
        (to_group("f", "no such group"), "GroupGetUsers: iGid no such group not found".to_owned()),
        // One bad recipient is enough, wherever it stands.
        (tmtp_e2e::post("g", &[ann.uid(), "nobody"], b"x"), "OpenNodes: iUid nobody not found".to_owned()),
    ];
    for (request, expected) in table {
        let data: &[u8] = if request.data().len > 0 { b"x" } else { b"" };
        assert_eq!(ann.refused(&request, data).await?, expected, "{request:?}");
    }
    ann.expect_nothing_else().await?;
    cluster.passed()
}

/// Goal: a user has a hundred nodes at most. Method: ask for 99 more, then for one too many.
#[tokio::test]
async fn nodes_are_limited() -> Result<()> {
    let cluster = Setup::new().gateways(1).workers(1).start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    for number in 2..=100 {
        new_node(&mut ann, &format!("node {number}")).await?;
    }
    let request = Request::UserEdit { id: "101".into(), new_node: Some("101".into()), new_alias: None };
    assert_eq!(ann.refused(&request, b"").await?, "AddNode: Exceeds 100 nodes");
    ann.expect_nothing_else().await?;
    cluster.passed()
}

/// Asks for another node of the user, and acks the message that says so.
pub async fn new_node(link: &mut Link, label: &str) -> Result<Account> {
    let request =
        Request::UserEdit { id: format!("new {label}"), new_node: Some(label.to_owned()), new_alias: None };
    link.request(&request, b"").await?;
    let node_id = take_new_node(link, label).await?;
    Ok(Account { uid: link.uid().to_owned(), node_id, alias_error: None })
}

/// The next message has to be about a new node of this label. It is acked; the node's id is the answer.
pub async fn take_new_node(link: &mut Link, label: &str) -> Result<String> {
    let Frame { response, .. } = link.message().await?;
    let Response::User { std, change: UserChange::Node { label: said, node_id } } = response else {
        anyhow::bail!("got {response:?} in place of a new node");
    };
    ensure!(said == label, "the new node is {said:?}");
    link.ack(&std.id).await?;
    Ok(node_id.into_owned())
}

/// Takes an alias, and acks the message that says so; its id is the answer.
pub async fn new_alias(link: &mut Link, wanted: &str) -> Result<String> {
    link.request(&alias(&format!("alias {wanted}"), wanted), b"").await?;
    let Frame { response, .. } = link.message().await?;
    let Response::User { std, change: UserChange::Alias(said) } = response else {
        anyhow::bail!("got {response:?} in place of an alias");
    };
    ensure!(said == wanted, "the new alias is {said:?}");
    link.ack(&std.id).await?;
    Ok(std.id.into_owned())
}

fn alias(id: &str, alias: &str) -> Request {
    Request::UserEdit { id: id.to_owned(), new_node: None, new_alias: Some(alias.to_owned()) }
}

fn to_group(id: &str, gid: &str) -> Request {
    let mut request = tmtp_e2e::post(id, &[gid], b"x");
    if let Request::Post { recipients, .. } = &mut request {
        recipients[0].kind = 2;
    }
    request
}
