//! A whole worker: what becomes of gateways that are gone, of commands that the database refuses, of bodies that nobody
//! needs, and of more than fits.

use std::time::Duration;

use bytes::Bytes;
use tmtp_bodies::Bodies;
use tmtp_contract::{Answer, Body, BodyRef, LoginRefusal};
use tmtp_domain::{BodyId, MsgId, NodeNum, Site, SiteId, Uid, WorkerId};
use tmtp_testkit::eventually;
use uuid::Uuid;

use crate::live::{DEADLINE, Place, SHARDS};
use crate::rig::{ANN, BEN, acks, attach, login, new_alias, post, post_body};

/// Goal: a gateway that is dead when its commands are read blocks no node for longer than a lease, and a live one is not
/// disturbed; method: a gateway that never beats logs Ann in, then Ann tries elsewhere until she is let in.
#[tokio::test]
async fn a_session_of_a_dead_gateway_ends() {
    let place = Place::new().await;
    let site = place.site("site.example").await;
    let worker = place.only_worker().await;
    let mut alive = place.gateway().live();
    alive.register(1, &site, BEN).await;
    let mut dead = place.gateway();
    dead.register(1, &site, ANN).await;

    let refused = Answer::NotLoggedIn(LoginRefusal::AlreadyConnected);
    assert_eq!(alive.log_in(2, &site, ANN).await, refused);
    worker.until_metric("tmtp_worker_sessions_open", |open| open == 1).await;
    let answer = alive.log_in(3, &site, ANN).await;
    assert_eq!(answer, Answer::LoggedIn { node: NodeNum(1), ohi: Vec::new() });
    // Ben's session is the one that was opened first.
    let Answer::Posted { msg_id, .. } = alive.ask(3, post(1, &[BEN])).await else { panic!("not posted") };
    alive.hear_until("the post", |alive| alive.got(1).contains(&msg_id).then_some(())).await;
}

/// Goal: a new worker at an emptied Redis does not take nodes for free because it has not heard of their gateway; method:
/// a gateway whose beats are lost with Redis, and that beats again only when somebody else logs in at its node.
#[tokio::test]
async fn an_emptied_redis_does_not_free_nodes() {
    let place = Place::new().await;
    let site = place.site("site.example").await;
    let worker = place.only_worker().await;
    let mut first = place.gateway().live();
    first.register(1, &site, ANN).await;
    drop(worker);
    first.die();
    place.redis.restart_empty().unwrap();

    let mut config = place.config();
    config.shards.gateway_lease = Duration::from_secs(8);
    let worker = place.worker(config).await;
    worker.until_metric("tmtp_worker_shards_owned", |owned| owned == i64::from(SHARDS)).await;
    let mut second = place.gateway().live();
    second.session(1, &site, ANN);
    second.publish(vec![(1, login(ANN, 1))]).await;
    let decided = async || {
        let families = worker.cx.registry.gather();
        let commands = families.iter().find(|family| family.name() == "tmtp_worker_commands_total")?;
        let is_login = |label: &tmtp_chassis::prometheus::proto::LabelPair| label.value() == "login";
        let logins = commands.get_metric().iter().find(|metric| metric.get_label().iter().any(is_login))?;
        (logins.get_counter().get_value() > 0.0).then_some(())
    };
    eventually(DEADLINE, "a login that waits", decided).await.unwrap();
    let heard = first.entries.len();
    let mut first = first.live();
    first.hear_until("a call", |first| (first.entries.len() > heard).then_some(())).await;
    assert_eq!(second.answer(1).await, Answer::NotLoggedIn(LoginRefusal::AlreadyConnected));
}

/// Goal: a share is given back once, however long the engine did not listen; method: hold its commit up with a lock while
/// another worker has a lease for several beats, then count what it takes up again.
#[tokio::test]
async fn surplus_is_given_back_once() {
    let place = Place::new().await;
    let site = place.site("site.example").await;
    let worker = place.only_worker().await;
    let mut gateway = place.gateway().live();
    gateway.register(1, &site, ANN).await;
    gateway.register(2, &site, BEN).await;
    let before = place.epochs().await;

    let mut lock = place.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM shard FOR UPDATE").execute(&mut *lock).await.unwrap();
    gateway.publish(vec![(1, post(1, &[BEN]))]).await;
    place
        .until("the commit to wait", async |place| {
            let waits = "SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND wait_event_type = 'Lock'";
            (place.count(waits).await > 0).then_some(())
        })
        .await;
    let other = WorkerId(Uuid::new_v4());
    place.store.heartbeat(other, DEADLINE * 5).await.unwrap();
    beats(&place, 5).await;
    lock.rollback().await.unwrap();

    let mine = async |place: &Place| place.owners().await.into_values().next();
    place.until("its share", async |place| (mine(place).await == Some(SHARDS / 2)).then_some(())).await;
    beats(&place, 5).await;
    assert_eq!(place.epochs().await, before, "nothing was taken up again");
    assert_eq!(worker.metric("tmtp_worker_takeovers_total"), i64::from(SHARDS));
    assert_eq!(mine(&place).await, Some(SHARDS / 2));
}

/// Waits for so many heartbeats of the worker.
async fn beats(place: &Place, count: usize) {
    let lease = "SELECT (extract(epoch FROM min(lease_until)) * 1000)::int8 FROM worker";
    let (mut seen, mut last) = (0, place.count(lease).await);
    let beaten = async || {
        let now = place.count(lease).await;
        seen += usize::from(now != last);
        last = now;
        (seen >= count).then_some(())
    };
    eventually(DEADLINE, "heartbeats", beaten).await.unwrap();
}

/// Goal: what waits in rows is read and told in portions, however many sessions are opened at once; method: windows of half
/// a portion, twelve sessions with a spilled message each, attached in one batch.
#[tokio::test]
async fn waiting_messages_are_read_in_portions() {
    let place = Place::new().await;
    let site = place.site("site.example").await;
    let mut config = place.config();
    config.delivery.window_bytes = 4 * 1024 * 1024;
    let worker = place.worker(config).await;
    let mut gateway = place.gateway().live();
    let users: Vec<Uid> = (1..=12).map(|n| Uid([n; 20])).collect();
    gateway.register(100, &site, Uid([99; 20])).await;
    for (number, user) in (1..).zip(&users) {
        gateway.register(number, &site, *user).await;
        gateway.ask(number, tmtp_contract::Command::Detach).await;
    }
    let Answer::Posted { msg_id, .. } = gateway.ask(100, post(1, &users)).await else { panic!("not posted") };
    worker.until_metric("tmtp_worker_spilled_messages_total", |count| count >= 1).await;

    gateway.entries.clear();
    gateway
        .publish((1..).zip(&users).map(|(number, user)| (number, attach(*user, 1, &[], 0))).collect())
        .await;
    for number in 1..=12 {
        assert_eq!(gateway.answer(number).await, Answer::Attached);
        gateway
            .hear_until("its message", |gateway| gateway.got(number).contains(&msg_id).then_some(()))
            .await;
    }
    assert!(gateway.entries.iter().sum::<usize>() >= 12);
    assert!(gateway.entries.iter().all(|deliveries| *deliveries <= 4), "{:?}", gateway.entries);
}

/// Goal: a command whose effect the database refuses is refused, and everything beside it happens; method: a constraint by
/// a foreign hand, a name that it forbids between two posts in one entry, and all of them again.
#[tokio::test]
async fn a_poisonous_command_is_isolated() {
    let place = Place::new().await;
    let site = place.site("site.example").await;
    let worker = place.only_worker().await;
    sqlx::query("ALTER TABLE name ADD CONSTRAINT harmless CHECK (name <> 'Poison Ivy')")
        .execute(&place.pool)
        .await
        .unwrap();
    let mut gateway = place.gateway().live();
    let users = [1, 2, 3].map(|n| Uid([n; 20]));
    for (number, user) in (1..).zip(users) {
        gateway.register(number, &site, user).await;
    }
    let before = place.epochs().await;
    let commands =
        vec![(1, post(1, &[users[2]])), (2, new_alias(2, "Poison Ivy")), (3, post(3, &[users[0]]))];
    gateway.publish(commands).await;
    let first = gateway.answer(1).await;
    assert!(matches!(first, Answer::Posted { .. }), "{first:?}");
    assert_eq!(gateway.answer(2).await, Answer::Refused("internal error".to_owned()));
    assert!(matches!(gateway.answer(3).await, Answer::Posted { .. }));
    assert!(worker.metric("tmtp_worker_commands_poisoned_total") >= 1);

    // Nothing is stuck: the session of the refused command goes on, and a new one can be opened.
    assert_eq!(gateway.ask(2, new_alias(4, "Ivy Poison")).await, Answer::Done);
    assert_eq!(gateway.ask(1, post(1, &[users[2]])).await, first, "and nothing has happened twice");
    let raised: i64 = place.epochs().await.iter().zip(&before).map(|(now, then)| now - then).sum();
    assert!((1..=4).contains(&raised), "only the shard of the command starts over: {raised}");
    assert_eq!(place.count("SELECT count(*) FROM name").await, 1);
}

/// Goal: a site that the worker has not heard of is looked up, whatever is asked for first; method: a site and a member
/// that no directory tells of, and a session that is attached, not logged in.
#[tokio::test]
async fn an_unknown_site_is_looked_up() {
    let place = Place::new().await;
    let _worker = place.only_worker().await;
    let mut gateway = place.gateway().live();
    // A revision below all others: nobody who asks what is new since some revision finds it.
    sqlx::raw_sql("ALTER TABLE site DISABLE TRIGGER site_revised").execute(&place.pool).await.unwrap();
    let id = SiteId(Uuid::new_v4());
    sqlx::query(
        "WITH s AS (INSERT INTO site (site_id, shard_id, revision, name, registration) VALUES ($1, 2, -1, 'x', 'open')),
              m AS (INSERT INTO member (site_id, uid) VALUES ($1, $2))
         INSERT INTO node (site_id, uid, num, secret, label) VALUES ($1, $2, 1, decode(repeat('00', 32), 'hex'), 'x')",
    )
    .bind(id.0)
    .bind(ANN.0.as_slice())
    .execute(&place.pool)
    .await
    .unwrap();
    let site: Site = place.store.sites(&[id]).await.unwrap().remove(0);
    gateway.session(1, &site, ANN);
    assert_eq!(gateway.ask(1, attach(ANN, 1, &[], 0)).await, Answer::Attached);
}

/// Goal: a body that no message refers to is removed at once, and one that a message refers to is not; method: a refused
/// post, one that is sent again with the same and with another body, and one whose body was condemned.
#[tokio::test]
async fn bodies_of_no_message_are_removed() {
    let place = Place::new().await;
    let site = place.site("site.example").await;
    let worker = place.only_worker().await;
    let bodies = Bodies::open(&worker.cx.config.bodies()).unwrap();
    let mut gateway = place.gateway().live();
    gateway.register(1, &site, ANN).await;
    gateway.register(2, &site, BEN).await;
    let upload = async |n: u128| {
        let body = BodyRef { id: BodyId(Uuid::from_u128(n)), len: 5, chunk: bodies.chunk_octets() };
        bodies.put_chunk(site.id, body.id, 0, Bytes::from_static(b"hello")).await.unwrap();
        body
    };
    let is_there = async |body: &BodyRef| bodies.get_chunk(site.id, body, 0).await.unwrap().is_some();
    let until_gone = async |body: &BodyRef| {
        let gone = async || (!is_there(body).await).then_some(());
        eventually(DEADLINE, "the body to go", gone).await.unwrap();
    };

    let refused = upload(1).await;
    let answer = gateway.ask(1, post_body(1, &[Uid([9; 20])], Body::Stored(refused))).await;
    assert!(matches!(answer, Answer::Refused(_)), "{answer:?}");
    until_gone(&refused).await;

    let (kept, again) = (upload(2).await, upload(3).await);
    let first = gateway.ask(1, post_body(2, &[BEN], Body::Stored(kept))).await;
    assert!(matches!(first, Answer::Posted { .. }), "{first:?}");
    for body in [kept, again] {
        assert_eq!(gateway.ask(1, post_body(2, &[BEN], Body::Stored(body))).await, first);
    }
    // Removals are made in their order, so the one that was not to be removed has been looked at.
    until_gone(&again).await;
    assert!(is_there(&kept).await);

    let late = upload(4).await;
    assert_eq!(place.store.condemn_bodies(&[(site.id, late.id), (site.id, kept.id)]).await.unwrap().len(), 1);
    let answer = gateway.ask(1, post_body(4, &[BEN], Body::Stored(late))).await;
    assert_eq!(answer, Answer::Refused("data took too long".to_owned()));
    assert_eq!(gateway.ask(1, post_body(4, &[BEN], Body::Stored(late))).await, answer);
    assert_eq!(worker.metric("tmtp_worker_commands_poisoned_total"), 0);
}

/// Goal: memory is bounded for the worker as a whole, not for each of its shards; method: bounds that two shards reach
/// together, and neither alone.
#[tokio::test]
async fn bounds_hold_for_all_shards_together() {
    let place = Place::new().await;
    let mut sites = Vec::new();
    while sites.len() < 2 {
        let site = place.site(&format!("site{}.example", Uuid::new_v4())).await;
        if sites.iter().all(|other: &Site| other.shard != site.shard) {
            sites.push(site);
        }
    }
    let mut config = place.config();
    config.journal.spill_after = DEADLINE * 10;
    config.journal.spill_bytes = 60_000;
    config.delivery.receipts_max = 4;
    let worker = place.worker(config).await;
    let mut gateway = place.gateway().live();
    for (number, site) in (0..).zip(&sites) {
        gateway.register(number * 2 + 1, site, ANN).await;
        gateway.register(number * 2 + 2, site, BEN).await;
    }
    let large = |n: u8| post_body(n, &[BEN], Body::Inline(vec![n; 20_000].into()));
    let mut ids: Vec<MsgId> = Vec::new();
    for (session, n) in [(1, 1), (1, 2), (3, 3), (3, 4)] {
        let Answer::Posted { msg_id, .. } = gateway.ask(session, large(n)).await else {
            panic!("not posted")
        };
        ids.push(msg_id);
    }
    worker.until_metric("tmtp_worker_owed_bytes", |octets| octets < 60_000).await;
    assert!(worker.metric("tmtp_worker_spills_total") >= 1);

    // Three requests of each site; two of each are remembered.
    for (session, n) in [(1, 5), (3, 6)] {
        gateway.ask(session, post(n, &[BEN])).await;
    }
    worker.until_metric("tmtp_worker_receipts", |count| count <= 4).await;
    assert!(worker.metric("tmtp_worker_dedupe_cut_total") >= 1);
    let Answer::Posted { msg_id, .. } = gateway.ask(1, large(2)).await else { panic!("not posted") };
    assert_eq!(msg_id, ids[1], "the youngest are remembered");
}

/// Goal: how far a worker is behind can be seen; method: hold its commit up with a lock, publish more, look at the gauges,
/// and again when the lock is gone.
#[tokio::test]
async fn the_lag_is_measured() {
    let place = Place::new().await;
    let site = place.site("site.example").await;
    let worker = place.only_worker().await;
    let mut gateway = place.gateway().live();
    gateway.register(1, &site, ANN).await;
    let mut lock = place.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM shard FOR UPDATE").execute(&mut *lock).await.unwrap();
    for number in 2..=4 {
        gateway.session(number, &site, BEN);
        gateway.publish(vec![(number, login(BEN, 1))]).await;
    }
    gateway.publish(vec![(1, post(1, &[ANN]))]).await;
    worker.until_metric("tmtp_worker_commands_waiting", |count| count == 4).await;
    assert_eq!(worker.metric("tmtp_worker_commands_waiting_most"), 4);
    worker.until_metric("tmtp_worker_commands_oldest_seconds", |age| age >= 2).await;
    lock.rollback().await.unwrap();
    for metric in ["commands_waiting", "commands_waiting_most", "commands_oldest_seconds"] {
        worker.until_metric(&format!("tmtp_worker_{metric}"), |value| value == 0).await;
    }
}

/// Goal: when commands are committed one by one, no commit names their entry as applied before its last command is
/// decided, or the others would not be read again; method: make a shard careful, then an entry whose second command waits
/// for a lock, and the shard's row meanwhile.
#[tokio::test]
async fn an_entry_is_applied_with_its_last_command() {
    let place = Place::new().await;
    let site = place.site("site.example").await;
    let _worker = place.only_worker().await;
    sqlx::query("ALTER TABLE name ADD CONSTRAINT harmless CHECK (name <> 'Poison Ivy')")
        .execute(&place.pool)
        .await
        .unwrap();
    let mut gateway = place.gateway().live();
    let users = [1, 2, 3].map(|n| Uid([n; 20]));
    for (number, user) in (1..).zip(users) {
        gateway.register(number, &site, user).await;
    }
    let answer = gateway.ask(1, new_alias(1, "Poison Ivy")).await;
    assert_eq!(answer, Answer::Refused("internal error".to_owned()));
    gateway.ask(1, post(2, &[users[2]])).await;
    // Also what the gateway has said about the shard's new epochs.
    let depth = async || place.bus.command_depth(&[site.shard]).await.unwrap()[0].1;
    place.until("everything to be applied", async |_| (depth().await == 0).then_some(())).await;

    let row = async || -> (i64, i64, i64) {
        sqlx::query_as("SELECT last_entry_ms, last_entry_seq, commits FROM shard WHERE shard_id = $1")
            .bind(site.shard.0.cast_signed())
            .fetch_one(&place.pool)
            .await
            .unwrap()
    };
    let before = row().await;
    let mut lock = place.pool.begin().await.unwrap();
    sqlx::query("INSERT INTO name (site_id, name, uid) VALUES ($1, 'Taken Ivy', $2)")
        .bind(site.id.0)
        .bind(users[2].0.as_slice())
        .execute(&mut *lock)
        .await
        .unwrap();
    let commands = vec![(1, post(3, &[users[2]])), (2, new_alias(4, "Taken Ivy")), (3, post(5, &[users[0]]))];
    gateway.publish(commands).await;
    assert!(matches!(gateway.answer(1).await, Answer::Posted { .. }));
    let meanwhile = row().await;
    assert!(meanwhile.2 > before.2, "the first command is committed");
    assert_eq!((meanwhile.0, meanwhile.1), (before.0, before.1), "its entry is not");
    assert_eq!(depth().await, 1, "nor is it gone");

    lock.rollback().await.unwrap();
    assert_eq!(gateway.answer(2).await, Answer::Done);
    assert!(matches!(gateway.answer(3).await, Answer::Posted { .. }));
    let after = row().await;
    assert!((after.0, after.1) > (before.0, before.1));
}

/// Goal: a spill that the database refuses holds nobody up, and the message that it refuses is kept; method: a constraint
/// by a foreign hand, a message that it forbids among others at two sites, and the recipients when they come.
#[tokio::test]
async fn a_poisonous_spill_is_parked() {
    let place = Place::new().await;
    let sites = [place.site("one.example").await, place.site("two.example").await];
    let worker = place.only_worker().await;
    sqlx::query("ALTER TABLE message ADD CONSTRAINT harmless CHECK (octet_length(body) <> 666)")
        .execute(&place.pool)
        .await
        .unwrap();
    let mut gateway = place.gateway().live();
    let mut waiting = Vec::new();
    for (number, site) in (1..).zip(&sites) {
        gateway.register(number, site, ANN).await;
        // Who opens no session again when a shard is taken up.
        let mut other = place.gateway().live();
        other.register(1, site, BEN).await;
        other.ask(1, tmtp_contract::Command::Detach).await;
        for (n, octets) in [(1, 600), (2, if number == 1 { 666 } else { 667 }), (3, 700)] {
            let body = Body::Inline(vec![n; octets].into());
            let Answer::Posted { msg_id, .. } = gateway.ask(number, post_body(n, &[BEN], body)).await else {
                panic!("not posted")
            };
            waiting.push(msg_id);
        }
    }
    let parked = "SELECT count(*) FROM message_parked";
    place.until("parking", async |place| (place.count(parked).await == 1).then_some(())).await;
    place
        .until("an empty journal", async |place| {
            (place.count("SELECT count(*) FROM journal").await == 0).then_some(())
        })
        .await;
    assert_eq!(worker.metric("tmtp_worker_spill_refused_total"), 1);

    let poison = waiting.remove(1);
    for (number, site, ids) in [(21, &sites[0], &waiting[..2]), (22, &sites[1], &waiting[2..])] {
        let answer = gateway.log_in(number, site, BEN).await;
        assert!(matches!(answer, Answer::LoggedIn { .. }), "{answer:?}");
        gateway
            .hear_until("what waits", |gateway| {
                ids.iter().all(|id| gateway.got(number).contains(id)).then_some(())
            })
            .await;
        assert!(!gateway.got(number).contains(&poison));
    }
    assert_eq!(place.count("SELECT msg_id FROM message_parked").await, poison.to_i64());
}

/// Goal: a body whose message was delivered goes within seconds, also when the worker that freed it died before it could
/// remove it; method: rows and chunks as such a worker leaves them, and another worker.
#[tokio::test]
async fn what_a_dead_worker_freed_is_removed() {
    let place = Place::new().await;
    let site = place.site("site.example").await;
    let bodies = Bodies::open(&place.config().bodies()).unwrap();
    let body = BodyRef { id: BodyId(Uuid::from_u128(1)), len: 5, chunk: bodies.chunk_octets() };
    let held = BodyRef { id: BodyId(Uuid::from_u128(2)), ..body };
    for (body, freed) in [(body, Some("2026-01-01")), (held, None)] {
        bodies.put_chunk(site.id, body.id, 0, Bytes::from_static(b"hello")).await.unwrap();
        sqlx::query(
            "INSERT INTO body (site_id, body_id, len, chunk, freed_at) VALUES ($1, $2, $3, $4, $5::timestamptz)",
        )
        .bind(site.id.0)
        .bind(body.id.0)
        .bind(body.len.cast_signed())
        .bind(body.chunk.cast_signed())
        .bind(freed)
        .execute(&place.pool)
        .await
        .unwrap();
    }
    let _worker = place.only_worker().await;
    let rows = "SELECT count(*) FROM body";
    place.until("the row to go", async |place| (place.count(rows).await == 1).then_some(())).await;
    assert_eq!(bodies.get_chunk(site.id, &body, 0).await.unwrap(), None, "its chunks went before");
    assert!(bodies.get_chunk(site.id, &held, 0).await.unwrap().is_some());
}

/// Goal: a freed body is gone from the rows, too, when its worker lives; method: one that is delivered and acked.
#[tokio::test]
async fn what_is_delivered_leaves_nothing() {
    let place = Place::new().await;
    let site = place.site("site.example").await;
    let worker = place.only_worker().await;
    let bodies = Bodies::open(&worker.cx.config.bodies()).unwrap();
    let mut gateway = place.gateway().live();
    gateway.register(1, &site, ANN).await;
    gateway.register(2, &site, BEN).await;
    let body = BodyRef { id: BodyId(Uuid::from_u128(1)), len: 5, chunk: bodies.chunk_octets() };
    bodies.put_chunk(site.id, body.id, 0, Bytes::from_static(b"hello")).await.unwrap();
    let answer = gateway.ask(1, post_body(1, &[BEN], Body::Stored(body))).await;
    let Answer::Posted { msg_id, .. } = answer else { panic!("{answer:?}") };
    gateway.hear_until("the post", |gateway| gateway.got(2).contains(&msg_id).then_some(())).await;
    assert_eq!(place.store.waiting().await.unwrap().bodies, 1);
    let ids = gateway.got(2).to_vec();
    gateway.ask(2, acks(&ids)).await;
    place
        .until("the body to go", async |place| {
            let waiting = place.store.waiting().await.unwrap();
            (waiting.bodies == 0 && waiting.chunks == 0).then_some(())
        })
        .await;
}

/// Goal: a worker is ready when it serves: it has its shards, and gateways can learn of the sites; method: what there is
/// at the moment when it says so, for one that is alone and for one that comes when nothing is left.
#[tokio::test]
async fn ready_means_serving() {
    let place = Place::new().await;
    place.site("site.example").await;
    let worker = place.worker(place.config()).await;
    assert_eq!(worker.metric("tmtp_worker_shards_owned"), i64::from(SHARDS));
    assert_eq!(place.bus.sites_since(0).await.unwrap().len(), 1);
    let checks: Vec<&str> = worker.cx.health.report().checks.keys().copied().collect();
    assert_eq!(checks, ["postgres", "redis", "redis policy", "shards"]);
    // Half of the shards become its own later, when the first has given them back.
    let _second = place.worker(place.config()).await;
}
