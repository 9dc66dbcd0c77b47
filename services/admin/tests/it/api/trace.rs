//! The delivery trace over HTTP, with a worker that has the newest steps, and without one.

use bytes::Bytes;
use serde_json::{Value, json};
use sqlx::PgPool;
use tmtp_contract::{Body, Command, DataInfo, Digest, Step, StepKind, TracePack};
use tmtp_domain::{GatewayId, MsgId, NodeNum, Recipient, RecipientKind, Role, SecretHash, Uid};
use tmtp_testkit::eventually;
use uuid::Uuid;

use super::world::{DEADLINE, World, site_id};

const ANN: Uid = Uid([1; 20]);
const BEN: Uid = Uid([2; 20]);
const CAT: Uid = Uid([3; 20]);
const TEXT: &[u8] = b"nobody reads this";
/// Some time in 2026, in milliseconds.
const AT: i64 = 1_790_000_000_000;

fn register(uid: Uid) -> Command {
    let secret = SecretHash([uid.0[0]; 32]);
    Command::Register { uid, secret, credentials: None, label: "laptop".into(), alias: None }
}

fn post(to: Uid) -> Command {
    Command::Post {
        digest: Digest([9; 16]),
        recipients: vec![Recipient { id: to.to_string(), kind: RecipientKind::User }],
        data: DataInfo { len: 17, head: 0, sum: 0 },
        body: Body::Inline(Bytes::from_static(TEXT)),
        front: None,
    }
}

/// What the steps are called, and whose they are.
fn told(trace: &Value) -> Vec<(&str, Option<&str>)> {
    let steps = trace["steps"].as_array().unwrap();
    steps.iter().map(|step| (step["step"].as_str().unwrap(), step["uid"].as_str())).collect()
}

/// Goal: a message is followed while it waits, at once when its device has acked it, and just so when all is in rows, and
/// only by keys of its site; method: a post between two who are there, looked at after each step.
#[tokio::test]
async fn a_message_is_followed() {
    let (world, mut working) = World::with_worker().await;
    let body = json!({ "name": "A site", "domains": ["a.example"], "registration": "open" });
    let made = world.post("/v1/sites", &body).await.expect(201);
    let site = world.store.sites(&[site_id(&made)]).await.unwrap().remove(0);
    let other = world.site("b.example").await;
    let pool = PgPool::connect(&world.url).await.unwrap();
    let ann = working.open(&site, register(ANN)).await;
    let ben = working.open(&site, register(BEN)).await;
    working.publish(&site, ann, 2, post(BEN)).await;
    let row = async || {
        let query = "SELECT msg_id FROM inbox WHERE uid = decode(repeat('02', 20), 'hex')";
        sqlx::query_scalar::<_, i64>(query).fetch_optional(&pool).await.unwrap()
    };
    let id = MsgId::from_i64(eventually(DEADLINE, "the message to be a row", row).await.unwrap());
    let path = format!("/v1/sites/{}/messages/{id}/trace", made["id"].as_str().unwrap());
    let support = world.key(Role::Support, Some(vec![site.id])).await;
    let look = async || world.call("GET", &path, &support, None, &[]).await.expect(200);

    let waiting = look().await;
    let (anns, bens) = (ANN.to_string(), BEN.to_string());
    let sent = [
        ("accepted", Some(anns.as_str())),
        ("committed", None),
        ("queued", Some(bens.as_str())),
        ("sent", Some(bens.as_str())),
    ];
    let mut steps = told(&waiting);
    // What took no millisecond may stand in another order.
    steps.sort_by_key(|(step, _)| sent.iter().position(|(known, _)| known == step));
    assert_eq!(steps, sent, "{waiting}");
    assert_eq!(
        waiting["devices"],
        json!({ "queued": 1, "acked": 0, "expired": 0, "dropped": 0, "waiting": 1 })
    );
    assert_eq!((&waiting["msgid"], &waiting["complete"]), (&json!(id.to_string()), &json!(true)));
    assert!(!waiting.to_string().contains("nobody"), "{waiting}");

    // The ack stands before the question in the stream.
    working.publish(&site, ben, 2, Command::Acks { ids: vec![id] }).await;
    let acked = look().await;
    assert_eq!(told(&acked)[4], ("acked", Some(bens.as_str())));
    assert_eq!((&acked["devices"]["acked"], &acked["devices"]["waiting"]), (&json!(1), &json!(0)));
    let gone = async || (row().await.is_none()).then_some(());
    eventually(DEADLINE, "the row to go", gone).await.unwrap();
    assert_eq!(look().await, acked, "each step once, wherever it is");

    let elsewhere = path.replace(made["id"].as_str().unwrap(), other["id"].as_str().unwrap());
    assert_eq!(world.get(&elsewhere).await.problem(404), "not_found");
    assert_eq!(world.call("GET", &elsewhere, &support, None, &[]).await.problem(404), "not_found");
    let unknown = world.get(&path.replace(&id.to_string(), "18d75b8423f30000")).await;
    assert!(unknown.json()["detail"].as_str().unwrap().contains("older than traces are kept"));
    assert_eq!(unknown.problem(404), "not_found");
    let not_one = world.get(&path.replace(&id.to_string(), "18D75B8423F30000")).await;
    assert_eq!(not_one.problem(404), "not_found", "an id has one text");
    let readonly = world.key(Role::Readonly, Some(vec![site.id])).await;
    assert_eq!(world.call("GET", &path, &readonly, None, &[]).await.problem(403), "forbidden");
}

/// Goal: without a worker, rows are shown, and that they may not be all; users who are no members are not named, and what
/// waited for them, or went with a queue, has an end; method: a pack for four devices, written by hand.
#[tokio::test]
async fn rows_alone() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let pool = PgPool::connect(&world.url).await.unwrap();
    for uid in [ANN, BEN] {
        let query = "INSERT INTO member (site_id, uid) VALUES ($1, $2)";
        sqlx::query(query).bind(site_id(&site).0).bind(uid.0.as_slice()).execute(&pool).await.unwrap();
    }
    let id = MsgId(AT.cast_unsigned() * 1_000_000);
    let queued = |uid, node| (id, Step::at_device(StepKind::Queued, AT, uid, NodeNum(node)));
    let gateway = GatewayId(Uuid::from_u128(7));
    let sent = Step { gateway: Some(gateway), ..Step::at_device(StepKind::Sent, AT + 5, BEN, NodeNum(1)) };
    let acked = |at_ms| (id, Step::at_device(StepKind::Acked, at_ms, BEN, NodeNum(1)));
    let pack = TracePack::new(&[
        (id, Step::by(StepKind::Accepted, AT, Some(ANN), NodeNum(1))),
        queued(BEN, 1),
        queued(BEN, 2),
        queued(BEN, 3),
        queued(CAT, 4),
        (id, Step::by(StepKind::Committed, AT + 1, None, NodeNum(0))),
        (id, sent),
        acked(AT + 90),
        // It came again.
        acked(AT + 95),
    ]);
    let pack = tmtp_contract::encode(&pack).unwrap();
    sqlx::query("INSERT INTO trace_pack VALUES ($1, $2, 5, $3, $4, $4, $5)")
        .bind(site_id(&site).0)
        .bind(TracePack::span(id))
        .bind(AT + 5_000)
        .bind(id.to_i64())
        .bind(&pack)
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("INSERT INTO trace_drop VALUES ($1, $2, 2, $3, 'revoked', '2027-01-01T00:00:00Z')")
        .bind(site_id(&site).0)
        .bind(BEN.0.as_slice())
        .bind(id.to_i64())
        .execute(&pool)
        .await
        .unwrap();
    let path = format!("/v1/sites/{}/messages/{id}/trace", site["id"].as_str().unwrap());
    let trace = world.get(&path).await.expect(200);
    assert_eq!(trace["complete"], false, "nobody was asked");
    assert_eq!(
        trace["devices"],
        json!({ "queued": 4, "acked": 1, "expired": 0, "dropped": 2, "waiting": null })
    );
    let (anns, bens) = (ANN.to_string(), BEN.to_string());
    let (ann, ben) = (Some(anns.as_str()), Some(bens.as_str()));
    assert_eq!(
        told(&trace),
        [
            ("accepted", ann),
            ("queued", ben),
            ("queued", ben),
            ("queued", ben),
            ("queued", None),
            ("committed", None),
            ("sent", ben),
            ("acked", ben),
            ("dropped", ben),
            ("erased", None),
        ]
    );
    let step = |n: usize| &trace["steps"][n];
    assert_eq!(
        step(6),
        &json!({ "at": "2026-09-21T14:13:20.005Z", "step": "sent", "uid": bens, "device": 1, "devices": 1,
                 "gateway": "gw_00000000000000000000000000000007", "reason": null })
    );
    assert_eq!((&step(8)["reason"], &step(8)["device"]), (&json!("revoked"), &json!(2)));
    assert_eq!((&step(9)["at"], &step(9)["device"]), (&Value::Null, &json!(4)));
}
