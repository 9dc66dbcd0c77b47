//! The gateway in its cluster: new owners, lost events, a Redis that forgets, a stop.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use tmtp_chassis::Context;
use tmtp_client::Client;
use tmtp_contract::{Answer, Body, Command, Content, DataInfo, Envelope, Event, Message};
use tmtp_domain::{Epoch, MsgId, NodeNum, NodeSecret, Posted, SessionId, Uid};
use tmtp_gateway::Config;
use tmtp_testkit::{Redis, eventually};
use tmtp_wire::{Request, Response};

use crate::rig::{Rig, SHARD, WAIT, frame, posted, soon};

fn message(id: u64) -> Message {
    Message {
        id: MsgId(id),
        posted: Posted(0),
        from: Uid([2; 20]),
        content: Content::Delivery { notify: 0 },
        data: DataInfo { len: 2, head: 0, sum: 0 },
        body: Body::Inline(Bytes::from_static(b"hi")),
    }
}

fn post() -> Request {
    let data = tmtp_wire::DataInfo { len: 5, head: 0, sum: 0 };
    Request::Post { id: "p".into(), recipients: Vec::new(), data }
}

/// Goal: a new owner knows all sessions before it is told that these were all; method: some clients, a new epoch, the
/// order of what comes. An older epoch is not listened to.
#[tokio::test]
async fn a_new_owner() {
    let mut rig = Rig::start(|_| {}).await;
    let mut clients = Vec::new();
    let mut missing = HashSet::new();
    for n in 1..=8 {
        let (client, session) = rig.login(n).await;
        clients.push(client);
        missing.insert(session);
    }
    rig.home.say(Vec::new(), vec![Event::Rehome { shard: SHARD, epoch: Epoch(5) }]).await;
    let present = loop {
        let envelope = rig.home.command().await;
        if matches!(envelope.command, Command::Attach(_)) {
            assert!(missing.remove(&envelope.session));
        } else {
            break envelope;
        }
    };
    assert!(missing.is_empty(), "not attached: {missing:?}");
    assert_eq!((present.session, &present.command), (SessionId(0), &Command::Present { epoch: Epoch(5) }));
    rig.home.say(Vec::new(), vec![Event::Rehome { shard: SHARD, epoch: Epoch(4) }]).await;
    rig.home.say(Vec::new(), vec![Event::Rehome { shard: SHARD, epoch: Epoch(6) }]).await;
    let present = rig.home.find(|envelope| match envelope.command {
        Command::Present { epoch } => Some(epoch),
        _ => None,
    });
    assert_eq!(present.await, Epoch(6));
    drop(clients);
    rig.abort().await;
}

/// Goal: when an event entry is missing, nothing behind it counts until the session is open again; method: skip a
/// number, deliver, then deliver in answer to the attach.
#[tokio::test]
async fn a_gap() {
    let mut rig = Rig::start(|_| {}).await;
    let (mut client, session) = rig.login(1).await;
    rig.home.lose_an_entry();
    rig.home.deliver(session, 1, message(6)).await;
    let attach = rig.home.command().await;
    let Command::Attach(details) = &attach.command else { panic!("{attach:?}") };
    assert!(details.in_flight.is_empty());
    rig.home.answer(&attach, Answer::Attached).await;
    rig.home.deliver(session, attach.seq, message(5)).await;
    rig.home.deliver(session, attach.seq, message(6)).await;
    for expected in ["0000000000000005", "0000000000000006"] {
        let response = frame(&mut client).await.response;
        assert_eq!(response.std().expect("a message").id, expected);
    }
    rig.abort().await;
}

/// Goal: an entry that comes again is passed over; method: say a delivery twice, then another: no session is opened
/// again, so the next command is the ack.
#[tokio::test]
async fn a_repeated_entry() {
    let mut rig = Rig::start(|_| {}).await;
    let (mut client, session) = rig.login(1).await;
    rig.home.deliver(session, 1, message(5)).await;
    rig.home.repeat().await;
    rig.home.deliver(session, 1, message(6)).await;
    for expected in ["0000000000000005", "0000000000000006"] {
        let response = frame(&mut client).await.response;
        assert_eq!(response.std().expect("a message").id, expected);
    }
    client.ack("0000000000000006").await.unwrap();
    assert_eq!(rig.home.command().await.command, Command::Acks { ids: vec![MsgId(6)] });
    rig.abort().await;
}

/// Goal: while nobody takes commands, their stream does not grow: nothing is repeated, nobody is read, nobody logs in;
/// method: room for two entries, a home that reads and commits nothing, a second post and a second login. Then the
/// home commits, and everybody is served.
#[tokio::test]
async fn a_full_stream() {
    let mut rig = Rig::start(|config| {
        config.limits.stream_entries_max = 2;
        config.limits.republish_after = Duration::from_millis(500);
        config.limits.login_within = Duration::from_secs(2);
    })
    .await;
    let (mut client, session) = rig.login(1).await;
    client.send(&post(), b"hello").await.unwrap();
    let first = rig.home.command().await;
    let full = async || (rig.metric("tmtp_gateway_command_entries_max") >= 2.0).then_some(());
    eventually(WAIT, "the gateway to see it", full).await.unwrap();
    client.send(&post(), b"again").await.unwrap();
    // Takes as long as a login may, four times what the gateway would wait before it repeats.
    let connect = rig.connect.clone();
    let (uid, secret) = (Uid([2; 20]).to_string(), NodeSecret([2; 25]).reveal());
    assert!(soon("a refusal", Client::login(&connect, &uid, &secret)).await.is_err());
    assert_eq!(rig.bus.command_depth(&[SHARD]).await.unwrap(), [(SHARD, 2)]);

    rig.home.answer(&first, posted(1)).await;
    rig.home.trim().await;
    soon("an ack", client.expect_ack("p")).await.unwrap();
    let second = rig.home.command().await;
    assert_eq!((second.session, second.seq), (session, first.seq + 1));
    rig.home.trim().await;
    rig.login(2).await;
    rig.abort().await;
}

/// Goal: an answer that was lost without a trace comes again; method: a home that commits a post and says nothing.
#[tokio::test]
async fn silence() {
    let mut rig = Rig::start(|config| config.limits.republish_after = Duration::from_millis(500)).await;
    let (mut client, _) = rig.login(1).await;
    client.send(&post(), b"hello").await.unwrap();
    let sent = rig.home.command().await;
    rig.home.trim().await;
    let attach = rig.home.command().await;
    let again = rig.home.command().await;
    assert!(matches!(&attach.command, Command::Attach(attach) if attach.pending == 1));
    assert_eq!(again.command, sent.command);
    rig.home.answer(&attach, Answer::Attached).await;
    rig.home.answer(&again, posted(1)).await;
    soon("an ack", client.expect_ack("p")).await.unwrap();
    rig.abort().await;
}

/// Goal: a Redis that restarts empty costs nobody anything but time; method: restart it with a post unanswered: the
/// session comes back with the post behind it, on the connection that the client has had all the time.
#[tokio::test]
async fn redis_forgets() {
    let mut rig = Rig::start(|_| {}).await;
    let (mut client, session) = rig.login(1).await;
    client.send(&post(), b"hello").await.unwrap();
    assert!(matches!(rig.home.command().await.command, Command::Post { .. }));
    rig.redis.restart_empty().unwrap();
    let attach =
        rig.home.find(|envelope| matches!(envelope.command, Command::Attach(_)).then(|| envelope.clone()));
    let attach = attach.await;
    assert_eq!(attach.session, session);
    let again = rig.home.find(|envelope| {
        (envelope.seq > attach.seq && matches!(envelope.command, Command::Post { .. }))
            .then(|| envelope.clone())
    });
    let again = again.await;
    // Attempts that follow one another leave older numbers behind; only the last is answered.
    let attached = Event::Answer { session, seq: again.seq - 1, answer: Answer::Attached, trace: None };
    rig.home.say(Vec::new(), vec![attached]).await;
    rig.home.answer(&again, posted(7)).await;
    let ack = soon("an ack", async {
        tokio::select! {
            ack = client.expect_ack("p") => ack,
            () = answer_all(&mut rig.home) => unreachable!("it answers for ever"),
        }
    });
    assert_eq!(ack.await.unwrap().msg_id, "0000000000000007");
    rig.abort().await;
}

/// Answers what a session says when it is opened once more.
async fn answer_all(home: &mut crate::rig::Home) {
    loop {
        let envelope = home.command().await;
        match envelope.command {
            Command::Attach(_) => home.answer(&envelope, Answer::Attached).await,
            Command::Post { .. } => home.answer(&envelope, posted(7)).await,
            _ => {}
        }
    }
}

/// Goal: a session that the home does not know any more comes back by itself; method: say `Lost` to its post.
#[tokio::test]
async fn a_lost_session() {
    let mut rig = Rig::start(|_| {}).await;
    let (mut client, session) = rig.login(1).await;
    client.send(&post(), b"hello").await.unwrap();
    let lost = rig.home.command().await;
    rig.home.say(Vec::new(), vec![Event::Lost { session, seq: lost.seq }]).await;
    let attach = rig.home.command().await;
    let again = rig.home.command().await;
    assert!(matches!(&attach.command, Command::Attach(attach) if attach.pending == 1));
    assert_eq!((attach.seq, again.seq, &again.command), (3, 4, &lost.command));
    rig.home.answer(&attach, Answer::Attached).await;
    rig.home.answer(&again, posted(1)).await;
    soon("an ack", client.expect_ack("p")).await.unwrap();
    rig.abort().await;
}

/// Goal: without a lease nothing is delivered; with it everything comes back; method: hold Redis for longer than
/// the lease, with a delivery waiting in it.
#[tokio::test]
async fn a_lapsed_lease() {
    let mut rig = Rig::start(|config| config.limits.lease = Duration::from_millis(2_100)).await;
    let (mut client, session) = rig.login(1).await;
    rig.redis.pause().unwrap();
    let metric = "the lease to lapse";
    let health_lost = eventually(WAIT, metric, async || rig.bus.ping().await.is_err().then_some(()));
    health_lost.await.unwrap();
    // The bus gives up after two seconds, the lease lapses soon after; one more failed call is beyond both.
    assert!(rig.bus.ping().await.is_err());
    rig.redis.resume().unwrap();
    let attach =
        rig.home.find(|envelope| matches!(envelope.command, Command::Attach(_)).then(|| envelope.clone()));
    let attach = attach.await;
    rig.home.deliver(session, 1, message(5)).await;
    rig.home.answer(&attach, Answer::Attached).await;
    rig.home.deliver(session, attach.seq, message(6)).await;
    let first = frame(&mut client).await.response;
    assert_eq!(first.std().expect("a message").id, "0000000000000006", "nothing counts for the old opening");
    rig.abort().await;
}

/// Goal: a stop frees all nodes, answers what was asked, ends all streams properly and without a word, and leaves the
/// cluster; method: stop with a post unanswered.
#[tokio::test]
async fn a_stop() {
    let mut rig = Rig::start(|_| {}).await;
    let (mut client, _) = rig.login(1).await;
    client.send(&post(), b"hello").await.unwrap();
    let sent = rig.home.command().await;
    rig.life.start_drain("the test stops it");
    let detach = rig.home.command().await;
    assert_eq!((detach.seq, &detach.command), (sent.seq + 1, &Command::Detach));
    rig.home.answer(&sent, posted(1)).await;
    rig.home.done(&detach).await;
    assert!(matches!(frame(&mut client).await.response, Response::Ack { .. }));
    assert_eq!(soon("the end", client.next()).await.unwrap(), None);
    soon("the end of the gateway", rig.served).await.unwrap().unwrap();
    assert_eq!(rig.bus.live_gateways().await.unwrap(), []);
}

/// Goal: a home that goes on about a session which has ended is told that it is gone, and about those that are here it is
/// not; method: a client that leaves, a late answer to its login, a probe and a delivery for sessions that never were,
/// and another client meanwhile.
#[tokio::test]
async fn a_session_that_is_gone() {
    let mut rig = Rig::start(|_| {}).await;
    let (mut ann, gone) = rig.login(1).await;
    let (mut ben, stays) = rig.login(2).await;
    rig.home.say(Vec::new(), vec![Event::Rehome { shard: SHARD, epoch: Epoch(5) }]).await;
    while !matches!(rig.home.command().await.command, Command::Present { .. }) {}
    ann.send(&Request::Quit, b"").await.unwrap();
    let detach = rig
        .home
        .find(|seen| (seen.session == gone && seen.command == Command::Detach).then(|| seen.clone()))
        .await;
    assert_ne!(detach.seq, Envelope::GONE);
    rig.home.done(&detach).await;
    assert!(matches!(frame(&mut ann).await.response, Response::Quit { .. }));
    drop(ann);
    let ended = async || (rig.metric("tmtp_gateway_links_open") <= 1.0).then_some(());
    eventually(WAIT, "the end of her link", ended).await.unwrap();

    let late = Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() };
    let (probed, unknown) = (SessionId(1 << 40), SessionId(1 << 41));
    let events = vec![
        Event::Answer { session: gone, seq: 1, answer: late, trace: None },
        Event::Probe { session: probed },
        Event::Probe { session: stays },
    ];
    rig.home.say(Vec::new(), events).await;
    rig.home.deliver(unknown, 1, message(1)).await;
    for session in [gone, probed, unknown] {
        let told = rig.home.find(|seen| seen.is_gone().then_some(seen.session)).await;
        assert_eq!(told, session);
    }
    ben.send(&post(), b"hello").await.unwrap();
    let next = rig.home.command().await;
    assert_eq!(next.session, stays, "nothing else was said: {next:?}");
    rig.home.answer(&next, posted(1)).await;
    rig.abort().await;
}

/// Goal: a gateway joins nothing with a Redis that throws keys away, says what to do, and goes on when that is done;
/// method: start with such a Redis, look what it says of itself, and set it right. How it goes on is not looked at.
#[tokio::test]
async fn a_redis_that_evicts_is_told() {
    let redis = Redis::start().unwrap();
    redis.configure("maxmemory", "100mb").unwrap();
    redis.configure("maxmemory-policy", "allkeys-lru").unwrap();
    let mut config = Config::default();
    config.redis.url = redis.url().into();
    config.bodies.postgres.url = "postgres://nobody@127.0.0.1:1/none".into();
    let cx = Context::new(config);
    let served = tokio::spawn(tmtp_gateway::serve(cx.clone()));
    let check = || cx.health.report().checks.get("redis policy").cloned();
    let complaint = eventually(WAIT, "a complaint", async || check().filter(|told| told != "ok"));
    let complaint = complaint.await.unwrap();
    assert!(complaint.contains("set maxmemory-policy to noeviction"), "{complaint}");
    assert!(!cx.health.is_ready());
    redis.configure("maxmemory-policy", "noeviction").unwrap();
    eventually(WAIT, "no complaint", async || check().filter(|told| told == "ok")).await.unwrap();
    served.abort();
}
