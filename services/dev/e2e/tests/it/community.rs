//! Groups, forwarding, pings and presence on a whole cluster: members at two gateways, and the accidents that a new owner of
//! the shard has to get over.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tmtp_e2e::{Cluster, Link, Setup};
use tmtp_wire::{DataInfo, Recipient, Request, Response};
use tokio::time::sleep;

const GROUP: &str = "the group";
/// What gateways and workers have to renew, and longer.
const LEASE: Duration = Duration::from_secs(5);
const AWAY: Duration = Duration::from_secs(8);

fn invite(id: &str, from: &str, to: &str) -> Request {
    let data = DataInfo { len: 7, head: 0, sum: 0 };
    Request::GroupInvite { id: id.into(), gid: GROUP.into(), from: from.into(), to: to.into(), data }
}

fn edit(id: &str, act: &str, to: Option<&str>) -> Request {
    Request::GroupEdit {
        id: id.into(),
        act: act.into(),
        gid: GROUP.into(),
        to: to.map(Into::into),
        new_alias: None,
    }
}

fn to_group(id: &str, text: &[u8]) -> Request {
    let data = DataInfo { len: text.len() as u64, head: 0, sum: 0 };
    let recipients = vec![Recipient { id: GROUP.into(), kind: 3 }];
    Request::Post { id: id.into(), recipients, data }
}

fn ohi(id: &str, kind: &str, uids: &[&str]) -> Request {
    let recipients = uids.iter().map(|uid| Recipient { id: (*uid).to_owned(), kind: 1 }).collect();
    Request::OhiEdit { id: id.into(), recipients, kind: kind.into() }
}

/// Takes the next message, which has to be of this operation, and acks it. Gives its header.
async fn take(link: &mut Link, op: &str) -> Result<Response<'static>> {
    let frame = link.message().await?;
    ensure!(frame.response.op() == op, "{:?} in place of {op}", frame.response);
    let id = frame.response.std().context("no message")?.id.clone().into_owned();
    link.ack(&id).await?;
    Ok(frame.response)
}

/// The next frame has to say that this user is online, or is not.
async fn take_ohi(link: &mut Link, from: &str, online: bool) -> Result<()> {
    let frame = link.next().await?;
    match &frame.response {
        Response::Ohi { from: who, status } if *who == from && (*status == 1) == online => Ok(()),
        other => bail!("{other:?} in place of a notice of {from}"),
    }
}

/// Kills all workers, and starts them again.
async fn lose_the_workers(cluster: &Cluster) -> Result<()> {
    for number in 0..cluster.workers() {
        cluster.worker(number).kill()?;
    }
    for number in 0..cluster.workers() {
        cluster.worker(number).restart().await?;
    }
    Ok(())
}

/// Goal: a group works across gateways, and its members and their places outlive its home. Method: ann founds it and
/// invites ben at the other gateway, who joins; they post to it, all workers are killed and started again, they post again,
/// and ann drops ben, who gets nothing more.
#[tokio::test]
async fn a_group_outlives_its_home() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect_as("ann", "Ann Example").await?;
    let mut ben = cluster.gateway(1).connect_as("ben", "Ben Example").await?;
    ann.request(&invite("i", "Ann Example", "Ben Example"), b"join us").await?;
    let Response::Invite { gid, alias, to, .. } = take(&mut ben, "invite").await? else { bail!("none") };
    ensure!((&*gid, &*alias, &*to) == (GROUP, "Ann Example", "Ben Example"), "{gid} {alias} {to}");
    take(&mut ann, "member").await?;
    ben.request(&edit("j", "join", None), b"").await?;
    for link in [&mut ann, &mut ben] {
        let Response::Member { act, alias, .. } = take(link, "member").await? else { bail!("none") };
        ensure!((&*act, &*alias) == ("join", "Ben Example"), "{act} {alias}");
    }
    ann.request(&to_group("p", b"hello, group"), b"hello, group").await?;
    ben.take("hello, group").await?;

    lose_the_workers(&cluster).await?;
    ben.request(&to_group("q", b"still here?"), b"still here?").await?;
    ann.take("still here?").await?;
    let refusal = ben.refused(&invite("k", "Ben Example", "Ann Example"), b"join us").await?;
    ensure!(refusal == "GroupInvite: iAlias Ann Example already joined", "{refusal}");

    ann.request(&edit("d", "drop", Some("Ben Example")), b"").await?;
    for link in [&mut ann, &mut ben] {
        let Response::Member { act, .. } = take(link, "member").await? else { bail!("none") };
        ensure!(act == "drop", "{act}");
    }
    let refusal = ben.refused(&to_group("r", b"and now?"), b"and now?").await?;
    ensure!(refusal == format!("GroupGetUsers: iByUid {} not a member", ben.uid()), "{refusal}");
    ann.request(&to_group("s", b"alone"), b"alone").await?;
    ann.expect_nothing_else().await?;
    ben.expect_nothing_else().await?;
    cluster.passed()
}

/// Goal: a forwarded message and its note, and a ping, cross gateways, also when note and message are large. Method: ann
/// forwards to ben, with a note to cid, first small and then with 100 kB of both; cid pings ann.
#[tokio::test]
async fn forwards_and_pings_cross_gateways() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect_as("ann", "Ann Example").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let mut cid = cluster.gateway(1).connect_as("cid", "Cid Example").await?;
    for (id, octets) in [("small", 5), ("large", 100_000)] {
        let (note, body) = (vec![b'n'; octets], vec![b'b'; octets + 1]);
        let recipient = |uid: &str| vec![Recipient { id: uid.to_owned(), kind: 1 }];
        let request = Request::PostNotify {
            id: id.into(),
            recipients: recipient(ben.uid()),
            note_recipients: recipient(cid.uid()),
            for_not_self: false,
            data: DataInfo { len: (2 * octets + 1) as u64, head: 2, sum: 3 },
            note: DataInfo { len: octets as u64, head: 4, sum: 5 },
        };
        let receipt = ann.request(&request, &[note.clone(), body.clone()].concat()).await?;
        let delivery = ben.message().await?;
        let Response::Delivery { std, notify: 3 } = &delivery.response else {
            bail!("{:?}", delivery.response)
        };
        ensure!(std.id == receipt.msg_id && (std.data.head, std.data.sum) == (2, 3), "{std:?}");
        ensure!(delivery.data == body, "the message has changed");
        ben.ack(&receipt.msg_id).await?;
        for link in [&mut ben, &mut cid] {
            let frame = link.message().await?;
            let Response::Notify { std, post_id } = &frame.response else { bail!("{:?}", frame.response) };
            ensure!(*post_id == receipt.msg_id && (std.data.head, std.data.sum) == (4, 5), "{std:?}");
            ensure!(frame.data == note, "the note has changed");
            let id = std.id.clone();
            link.ack(&id).await?;
        }
    }
    let data = DataInfo { len: 2, head: 0, sum: 0 };
    let ping = Request::Ping { id: "hi".into(), from: "Cid Example".into(), to: "Ann Example".into(), data };
    cid.request(&ping, b"hi").await?;
    let Response::Ping { alias, to, .. } = take(&mut ann, "ping").await? else { bail!("none") };
    ensure!((&*alias, &*to) == ("Cid Example", "Ann Example"), "{alias} {to}");
    for link in [&mut ann, &mut ben, &mut cid] {
        link.expect_nothing_else().await?;
    }
    cluster.wait_until_erased().await?;
    cluster.passed()
}

/// Goal: presence is shown across gateways, outlives the home and Redis without a word to anybody, and ends with the
/// gateway of who showed it. Method: ann shows it to ben; the owner of the shard is killed, Redis is flushed, and ben is
/// told nothing; cid logs in, is told, and is dropped; ann's gateway is killed, and ben is told.
#[tokio::test]
async fn presence_outlives_accidents() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let cid = cluster.gateway(1).connect("cid").await?;
    let account = cid.account().clone();
    ann.request(&ohi("o", "init", &[ben.uid(), cid.uid()]), b"").await?;
    take_ohi(&mut ben, ann.uid(), true).await?;
    cid.quit().await?;

    lose_the_workers(&cluster).await?;
    ben.expect_nothing_else().await?;
    cluster.flush_redis().await?;
    ann.expect_nothing_else().await?;
    ben.expect_nothing_else().await?;

    let (mut cid, online) = cluster.gateway(1).login_told("cid", &account).await?;
    ensure!(online == [ann.uid()], "{online:?}");
    cid.take_login_notice().await?;
    ann.request(&ohi("p", "drop", &[&account.uid]), b"").await?;
    take_ohi(&mut cid, ann.uid(), false).await?;
    take(&mut ann, "ohiedit").await?;
    cluster.gateway(0).kill()?;
    take_ohi(&mut ben, ann.uid(), false).await?;
    ben.expect_nothing_else().await?;
    cluster.passed()
}

/// Goal: neither a real loss of Redis, short or long, nor an orderly hand-over is seen by those to whom presence is shown;
/// method: Redis restarts empty, is away and stands still for longer than every lease, a worker stops; ben is told nothing
/// each time, and afterwards what is true.
#[tokio::test]
async fn presence_outlives_redis_and_a_hand_over() -> Result<()> {
    let cluster = Setup::new().start().await?;
    let mut ann = cluster.gateway(0).connect("ann").await?;
    let mut ben = cluster.gateway(1).connect("ben").await?;
    let mut cid = cluster.gateway(1).connect("cid").await?;
    ann.request(&ohi("o", "init", &[ben.uid(), cid.uid()]), b"").await?;
    take_ohi(&mut ben, ann.uid(), true).await?;
    take_ohi(&mut cid, ann.uid(), true).await?;

    let redis = &cluster.redis;
    for accident in ["restart", "absence", "stall", "hand-over"] {
        match accident {
            "restart" => redis.restart_empty()?,
            "absence" => {
                redis.stop()?;
                sleep(AWAY).await;
                redis.start_again()?;
            }
            "stall" => {
                redis.pause()?;
                sleep(AWAY).await;
                redis.resume()?;
            }
            _ => {
                let ended = cluster.worker(0).terminate().await?;
                ensure!(ended.success(), "the worker ended with {ended}");
            }
        }
        // What would be told wrongly is told within a lease of the gateways.
        sleep(LEASE).await;
        for link in [&mut ann, &mut ben, &mut cid] {
            link.expect_nothing_else().await.context(accident)?;
        }
    }
    ann.request(&ohi("p", "drop", &[cid.uid()]), b"").await?;
    take_ohi(&mut cid, ann.uid(), false).await?;
    take(&mut ann, "ohiedit").await?;
    let uid = ann.uid().to_owned();
    ann.quit().await?;
    take_ohi(&mut ben, &uid, false).await?;
    ben.expect_nothing_else().await?;
    cid.expect_nothing_else().await?;
    cluster.passed()
}
