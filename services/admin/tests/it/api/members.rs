//! Members, devices, aliases and groups over HTTP, with a worker that makes the changes.

mod names;

use bytes::Bytes;
use serde_json::{Value, json};
use tmtp_contract::{Body, Command, DataInfo, Digest};
use tmtp_domain::{Recipient, RecipientKind, Role, SecretHash, Site, Uid};
use tmtp_store::AuditFilter;
use tmtp_testkit::eventually;

use super::world::{DEADLINE, Working, World, site_id};

const ANN: Uid = Uid([1; 20]);
const BEN: Uid = Uid([2; 20]);
const ANNS: &str = "Ann Bell A";
const BENS: &str = "Ben Bell B";

/// A site with two members, who are online.
struct Scene {
    world: World,
    working: Working,
    site: Site,
    /// Of the site.
    path: String,
    ann: u64,
}

/// A uid as it stands in a path.
fn written(uid: Uid) -> String {
    uid.to_string().replace('%', "%25").replace('+', "%2B")
}

fn register(uid: Uid, alias: &str) -> Command {
    Command::Register {
        uid,
        secret: SecretHash([uid.0[0]; 32]),
        credentials: None,
        label: "laptop".into(),
        alias: Some(alias.into()),
    }
}

impl Scene {
    async fn new() -> Self {
        let (world, mut working) = World::with_worker().await;
        let body = json!({ "name": "A site", "domains": ["a.example"], "registration": "open" });
        let made = world.post("/v1/sites", &body).await.expect(201);
        let site = world.store.sites(&[site_id(&made)]).await.unwrap().remove(0);
        let ann = working.open(&site, register(ANN, ANNS)).await;
        working.open(&site, register(BEN, BENS)).await;
        let path = format!("/v1/sites/{}", made["id"].as_str().unwrap());
        let scene = Self { world, working, site, path, ann };
        scene
            .until("both to be members", async |scene| {
                let list = scene.get("/members").await;
                (list["data"].as_array().unwrap().len() == 2).then_some(())
            })
            .await;
        scene
    }

    async fn register(&mut self, uid: Uid, alias: &str) {
        self.working.open(&self.site, register(uid, alias)).await;
    }

    /// What is anywhere.
    async fn get_whole(&self, path: &str) -> Value {
        self.world.get(path).await.expect(200)
    }

    async fn until<T>(&self, what: &str, probe: impl AsyncFn(&Self) -> Option<T>) -> T {
        eventually(DEADLINE, what, async || probe(self).await).await.unwrap()
    }

    /// What is below the site.
    async fn get(&self, path: &str) -> Value {
        self.world.get(&format!("{}{path}", self.path)).await.expect(200)
    }

    fn of(&self, uid: Uid, rest: &str) -> String {
        format!("{}/members/{}{rest}", self.path, written(uid))
    }

    async fn devices(&self, uid: Uid) -> Value {
        self.world.get(&self.of(uid, "/devices")).await.expect(200)["data"].clone()
    }
}

/// Goal: members are found by what is known of them and kept out as asked, once for each idempotency key, and the audit
/// log has it; method: lists with filters, patches, a suspension that comes again, and the way back.
#[tokio::test]
async fn members_are_found_and_kept_out() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let ids = |list: &Value| -> Vec<String> {
        let data = list["data"].as_array().unwrap();
        data.iter().map(|member| member["uid"].as_str().unwrap().to_owned()).collect()
    };
    let patched = world.patch(&scene.of(ANN, ""), &json!({ "external_id": "crm-1" })).await.expect(200);
    assert_eq!((&patched["external_id"], &patched["aliases"]), (&json!("crm-1"), &json!([ANNS])));
    let taken = world.patch(&scene.of(BEN, ""), &json!({ "external_id": "crm-1" })).await;
    assert_eq!(taken.problem(409), "external_id_taken");
    for query in ["alias=Ann%20Bell%20A", "alias_prefix=Ann", "external_id=crm-1", "q=CRM", "q=ann%20bell"] {
        assert_eq!(ids(&scene.get(&format!("/members?{query}")).await), [ANN.to_string()], "{query}");
    }
    assert_eq!(ids(&scene.get("/members?status=suspended").await), Vec::<String>::new());
    let first = scene.get("/members?limit=1").await;
    let second = scene.get(&format!("/members?cursor={}", first["next_cursor"].as_str().unwrap())).await;
    let mut both = [ids(&first), ids(&second)].concat();
    both.sort_unstable();
    let mut wanted = [ANN.to_string(), BEN.to_string()];
    wanted.sort_unstable();
    assert_eq!(both, wanted);

    assert_eq!(scene.devices(ANN).await[0]["online"], json!(true));
    let suspend = json!({ "reason": "unpaid", "until": "2099-01-01T00:00:00Z" });
    let path = scene.of(ANN, "/suspend");
    let key = [("idempotency-key", "one")];
    let first = world.call("POST", &path, &world.operator, Some(&suspend), &key).await;
    let member = first.expect(200);
    assert_eq!((&member["status"], &member["suspension"]["reason"]), (&json!("suspended"), &json!("unpaid")));
    assert_eq!(member["suspension"]["until"], json!("2099-01-01T00:00:00.000Z"));
    assert_eq!(first.header("idempotent-replayed"), "");
    let again = world.call("POST", &path, &world.operator, Some(&suspend), &key).await;
    assert_eq!((again.expect(200), again.header("idempotent-replayed")), (member, "true"));
    let other = json!({ "reason": "another" });
    let reused = world.call("POST", &path, &world.operator, Some(&other), &key).await;
    assert_eq!(reused.problem(422), "idempotency_key_reused");
    assert_eq!(scene.devices(ANN).await[0]["online"], json!(false));
    assert_eq!(scene.devices(BEN).await[0]["online"], json!(true));
    let filter = AuditFilter { action: Some("member.suspend"), ..AuditFilter::default() };
    let audit = world.all().await.audit(filter, 9).await.unwrap();
    assert_eq!((audit.len(), audit[0].target.as_str()), (1, ANN.to_string().as_str()));
    assert!(audit[0].after.as_ref().unwrap().contains("unpaid"));

    let resumed = world.post(&scene.of(ANN, "/resume"), &json!({})).await.expect(200);
    assert_eq!((&resumed["status"], resumed["suspension"].is_null()), (&json!("active"), true));
    let gone = world.post(&scene.of(ANN, "/deactivate"), &json!({})).await.expect(200);
    assert_eq!(gone["status"], json!("deactivated"));
    assert_eq!(world.post(&path, &suspend).await.problem(409), "conflict");
    let nobody = scene.of(Uid([9; 20]), "");
    assert_eq!(world.get(&nobody).await.problem(404), "not_found");
    assert_eq!(world.post(&format!("{nobody}/resume"), &json!({})).await.problem(404), "not_found");
    let past = json!({ "reason": "r", "until": "2001-01-01T00:00:00Z" });
    assert_eq!(world.post(&path, &past).await.json()["param"], json!("until"));
}

/// Goal: who waits for approval is let in, once, with its invite's groups, or turned away, and neither resume nor suspend
/// decides it; the audit log has who did; method: members and the uses of an invite set to waiting in the database before
/// the worker knows them, and a look at the invite after each decision.
#[tokio::test]
async fn who_waits_is_decided_about() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let groups = format!("{}/groups", scene.path);
    let members = json!([{ "alias": ANNS }]);
    world.post(&groups, &json!({ "gid": "The team", "members": members })).await.expect(201);
    let invites = format!("{}/invites", scene.path);
    let body = json!({ "max_uses": 3, "requires_approval": true, "groups": ["The team"] });
    let invite = world.post(&invites, &body).await.expect(201);
    let pool = sqlx::PgPool::connect(&world.url).await.unwrap();
    let waiting = [(Uid([3; 20]), "Cat Bell C"), (Uid([4; 20]), "Dan Bell D")];
    for (uid, alias) in waiting {
        let site = scene.site.id.0;
        let invite = uuid::Uuid::parse_str(&invite["id"].as_str().unwrap()[4..]).unwrap();
        let [member, node, name, used, counted] = [
            "INSERT INTO member (site_id, uid, status) VALUES ($1, $2, 'pending')",
            "INSERT INTO node (site_id, uid, num, secret, label) VALUES ($1, $2, 1, sha256($2), 'laptop')",
            "INSERT INTO name (site_id, uid, name) VALUES ($1, $2, $3)",
            "INSERT INTO invite_use (site_id, uid, invite_id, state) VALUES ($1, $2, $3, 'pending')",
            "UPDATE invite SET pending = pending + 1 WHERE site_id = $1",
        ];
        sqlx::query(member).bind(site).bind(uid.0.as_slice()).execute(&pool).await.unwrap();
        sqlx::query(node).bind(site).bind(uid.0.as_slice()).execute(&pool).await.unwrap();
        sqlx::query(name).bind(site).bind(uid.0.as_slice()).bind(alias).execute(&pool).await.unwrap();
        sqlx::query(used).bind(site).bind(uid.0.as_slice()).bind(invite).execute(&pool).await.unwrap();
        sqlx::query(counted).bind(site).execute(&pool).await.unwrap();
    }
    let [cat, dan] = waiting.map(|(uid, _)| uid);
    let listed = scene.get("/members?status=pending").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    let none = json!({});
    assert_eq!(world.post(&scene.of(cat, "/resume"), &none).await.problem(409), "conflict");
    assert_eq!(
        world.post(&scene.of(cat, "/suspend"), &json!({ "reason": "r" })).await.problem(409),
        "conflict"
    );
    assert_eq!(world.post(&scene.of(ANN, "/approve"), &none).await.problem(409), "conflict");

    let key = [("idempotency-key", "yes")];
    let approve =
        async || world.call("POST", &scene.of(cat, "/approve"), &world.operator, Some(&none), &key).await;
    assert_eq!(approve().await.expect(200)["status"], "active");
    let again = approve().await;
    assert_eq!(
        (again.expect(200)["status"].as_str(), again.header("idempotent-replayed")),
        (Some("active"), "true")
    );
    let uses = async || {
        let invite = scene.get(&format!("/invites/{}", invite["id"].as_str().unwrap())).await;
        [invite["uses_pending"].clone(), invite["uses_completed"].clone()]
    };
    assert_eq!(uses().await, [json!(1), json!(1)]);
    assert_eq!(scene.get("/groups/The%20team").await["members"], json!(2));

    let denied = world.post(&scene.of(dan, "/deny"), &none).await.expect(200);
    assert_eq!((&denied["status"], &denied["aliases"]), (&json!("deactivated"), &json!([])));
    assert_eq!(uses().await, [json!(0), json!(1)]);
    let joined = scene.get(&format!("/invites/{}/joined", invite["id"].as_str().unwrap())).await;
    let states: Vec<&Value> = joined["data"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, [&json!("completed"), &json!("denied")]);
    for (action, target) in [("member.approve", cat), ("member.deny", dan)] {
        let filter = AuditFilter { action: Some(action), ..AuditFilter::default() };
        let audit = world.all().await.audit(filter, 9).await.unwrap();
        assert_eq!((audit.len(), audit[0].target.clone()), (1, target.to_string()));
    }
}

/// Goal: a suspension that is over is found, in the name of the key it was made with; method: move its end into the past.
#[tokio::test]
async fn suspensions_that_are_over_are_found() {
    let scene = Scene::new().await;
    let body = json!({ "reason": "r", "until": "2099-01-01T00:00:00Z" });
    scene.world.post(&scene.of(ANN, "/suspend"), &body).await.expect(200);
    assert!(scene.world.store.due_resumes(9).await.unwrap().is_empty());
    let pool = sqlx::PgPool::connect(&scene.world.url).await.unwrap();
    let query = "UPDATE member SET suspended_until = now() - interval '1 second' WHERE status = 'suspended'";
    sqlx::query(query).execute(&pool).await.unwrap();
    let due = scene.world.store.due_resumes(9).await.unwrap();
    assert_eq!((due.len(), due[0].uid, due[0].site), (1, ANN, scene.site.id));
}

/// Goal: what waits for a device is told and dropped, and a revoked device is told as such; method: posts that become
/// rows, a drop, a disconnection, a revocation.
#[tokio::test]
async fn devices_are_seen_to() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let post = Command::Post {
        digest: Digest([1; 16]),
        recipients: vec![Recipient { id: BEN.to_string(), kind: RecipientKind::User }],
        data: DataInfo { len: 1, head: 0, sum: 0 },
        body: Body::Inline(Bytes::from_static(b"1")),
        front: None,
    };
    scene.working.publish(&scene.site, scene.ann, 2, post).await;
    let device = scene
        .until("the post to wait in rows", async |scene| {
            let device = scene.devices(BEN).await[0].clone();
            (device["queued"] == json!(1)).then_some(device)
        })
        .await;
    assert_eq!((&device["num"], &device["label"]), (&json!(1), &json!("laptop")));
    assert!(device["oldest_queued_at"].is_string());
    world.post(&scene.of(BEN, "/devices/1/drop-queue"), &json!({})).await.expect(204);
    let device = scene.devices(BEN).await[0].clone();
    assert_eq!((&device["queued"], &device["online"]), (&json!(0), &json!(false)));
    assert!(device["last_seen_at"].is_string(), "its session has ended");
    let waiting = world.store.waiting().await.unwrap();
    assert_eq!((waiting.messages, waiting.inbox), (0, 0));

    let closed = world.post(&scene.of(ANN, "/devices/1/disconnect"), &json!({})).await.expect(200);
    assert_eq!(closed, json!({ "sessions": 1 }));
    world.delete(&scene.of(BEN, "/devices/1")).await.expect(204);
    assert!(scene.devices(BEN).await[0]["revoked_at"].is_string());
    assert_eq!(world.delete(&scene.of(BEN, "/devices/1")).await.problem(404), "not_found");
    let (_, ben) = world.store.members(&[(scene.site.id, BEN)]).await.unwrap().remove(0);
    assert_eq!((ben.nodes.len(), ben.next_node().0), (0, 2));
    assert_eq!(world.get(&scene.of(BEN, "")).await.expect(200)["devices"], json!(0));
}

/// Goal: names are given, kept and freed, and groups are made and changed with an answer for each; method: an alias
/// through all its states, and a group of both members.
#[tokio::test]
async fn names_and_groups() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let check = async |alias: &str| {
        let body = json!({ "alias": alias });
        let checked = world.post(&format!("{}/aliases/check", scene.path), &body).await.expect(200);
        checked["state"].as_str().unwrap().to_owned()
    };
    let aliases = scene.of(ANN, "/aliases");
    assert_eq!(check("Ann the other").await, "available");
    world.post(&aliases, &json!({ "alias": "Ann the other" })).await.expect(201);
    assert_eq!(check("Ann the other").await, "taken");
    assert_eq!(check("short").await, "invalid");
    assert_eq!(world.post(&aliases, &json!({ "alias": BENS })).await.problem(409), "conflict");
    assert_eq!(world.post(&aliases, &json!({ "alias": "short" })).await.problem(422), "invalid");
    world.delete(&format!("{aliases}/Ann%20the%20other")).await.expect(204);
    assert_eq!(world.get(&aliases).await.expect(200)["data"], json!([{ "alias": ANNS }]));

    let reserved = format!("{}/reserved-names/postmaster", scene.path);
    world.call("PUT", &reserved, &world.operator, None, &[]).await.expect(204);
    assert_eq!(check("postmaster").await, "reserved");
    let listed = world.get(&format!("{}/reserved-names", scene.path)).await.expect(200);
    assert_eq!(
        (listed["data"].as_array().unwrap().len(), &listed["data"][0]["name"]),
        (1, &json!("postmaster"))
    );
    assert!(listed["data"][0]["reserved_at"].is_string(), "{listed}");
    assert_eq!(world.post(&aliases, &json!({ "alias": "postmaster" })).await.problem(409), "conflict");
    world.delete(&reserved).await.expect(204);
    assert_eq!(check("postmaster").await, "available");
    assert_eq!(world.delete(&reserved).await.problem(404), "not_found");

    let groups = format!("{}/groups", scene.path);
    let body = json!({ "gid": "The team", "members": [{ "alias": ANNS }, { "alias": "Nobody at all" }] });
    let made = world.post(&groups, &body).await.expect(201);
    assert_eq!((&made["group"]["gid"], &made["group"]["members"]), (&json!("The team"), &json!(1)));
    let ok = |made: &Value| -> Vec<bool> {
        made["results"].as_array().unwrap().iter().map(|one| one["ok"].as_bool().unwrap()).collect()
    };
    assert_eq!(ok(&made), [true, false]);
    assert_eq!(check("The team").await, "group");
    assert_eq!(world.post(&groups, &body).await.problem(409), "conflict");
    assert_eq!(world.delete(&format!("{aliases}/Ann%20Bell%20A")).await.problem(409), "conflict");
    let members = format!("{groups}/The%20team/members");
    let change = json!({ "add": [{ "uid": BEN.to_string() }], "drop": [{ "alias": ANNS }] });
    assert_eq!(ok(&world.post(&members, &change).await.expect(200)), [true, true]);
    let listed = world.get(&members).await.expect(200);
    let status: Vec<&Value> = listed["data"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(status, [&json!("barred"), &json!("joined")]);
    let list = world.get(&groups).await.expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert_eq!(world.get(&format!("{groups}/No%20team/members")).await.problem(404), "not_found");
}

/// Goal: an erased member is gone with all that it had, its sessions are closed, groups are told, its alias and uid can be
/// had again, and what was removed is reported; a dry run removes nothing. A deleted group is gone, too, and its members are
/// told. Method: a member with everything, asked about and erased; the audit log; the same names again.
#[tokio::test]
async fn members_and_groups_are_erased() {
    let mut scene = Scene::new().await;
    let groups = format!("{}/groups", scene.path);
    for gid in ["The team", "The other team"] {
        let body = json!({ "gid": gid, "members": [{ "alias": ANNS }, { "alias": BENS }] });
        scene.world.post(&groups, &body).await.expect(201);
    }
    let path = scene.of(BEN, "");
    let tried = scene.world.delete(&format!("{path}?dry_run=true")).await.expect(200);
    let counts = ["devices", "aliases", "groups", "identities"].map(|field| tried[field].as_i64().unwrap());
    assert_eq!(counts, [1, 1, 2, 0]);
    assert_eq!(scene.devices(BEN).await[0]["online"], json!(true));

    let job = scene.world.delete(&path).await.expect(202);
    scene.world.work_off().await;
    let done = scene.get_whole(&format!("/v1/jobs/{}", job["id"].as_str().unwrap())).await;
    assert_eq!(
        (&done["state"], &done["result"]["erased"], &done["result"]["groups"]),
        (&json!("done"), &json!(true), &json!(2))
    );
    assert_eq!(scene.world.get(&path).await.problem(404), "not_found");
    assert_eq!(scene.world.delete(&path).await.problem(404), "not_found");
    let pool = sqlx::PgPool::connect(&scene.world.url).await.unwrap();
    for table in ["member", "node", "name", "group_member", "inbox", "identity", "invite_use"] {
        let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table} WHERE uid = $1"));
        let left: i64 = sqlx::query_scalar(query).bind(BEN.0.as_slice()).fetch_one(&pool).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
    let filter = AuditFilter { target: Some(&BEN.to_string()), ..AuditFilter::default() };
    let audit = scene.world.all().await.audit(filter, 9).await.unwrap();
    let actions: Vec<&str> = audit.iter().rev().map(|entry| entry.action.as_str()).collect();
    let asked = audit.last().and_then(|entry| entry.before.clone()).unwrap();
    assert!(
        !asked.contains(BENS) && asked.contains("devices"),
        "the log keeps what is to be forgotten: {asked}"
    );
    let inputs: Vec<String> =
        sqlx::query_scalar("SELECT concat(input, position, result) FROM job").fetch_all(&pool).await.unwrap();
    assert!(inputs.iter().all(|text| !text.contains(&BEN.to_string())), "{inputs:?}");
    let expected =
        ["member.erase_asked", "member.deactivate", "group.members", "group.members", "member.erase"];
    assert_eq!(actions, expected);

    scene.register(BEN, BENS).await;
    scene
        .until("Ben to be a member again", async |scene| {
            let member = scene.world.get(&scene.of(BEN, "")).await;
            (member.status == 200).then(|| assert_eq!(member.json()["aliases"], json!([BENS])))
        })
        .await;

    let team = format!("{groups}/The%20team");
    scene.world.delete(&team).await.expect(204);
    assert_eq!(scene.world.delete(&team).await.problem(404), "not_found");
    assert_eq!(scene.world.get(&team).await.problem(404), "not_found");
    let body = json!({ "gid": "The team", "members": [{ "alias": BENS }] });
    let made = scene.world.post(&groups, &body).await.expect(201);
    assert_eq!(made["group"]["members"], json!(1), "it is another one");
}

/// Goal: nobody reaches members without the scope, or of another site; method: a reader's writes, and a key for a site
/// that is not there.
#[tokio::test]
async fn members_are_not_for_everybody() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let reader = world.key(Role::Readonly, Some(vec![scene.site.id])).await;
    let stranger = world.key(Role::Owner, Some(vec![tmtp_domain::SiteId(uuid::Uuid::new_v4())])).await;
    let nothing = json!({});
    for (method, rest) in [
        ("PATCH", "/rules"),
        ("POST", "/resume"),
        ("POST", "/deactivate"),
        ("POST", "/approve"),
        ("POST", "/deny"),
        ("POST", "/devices/1/disconnect"),
        ("POST", "/devices/1/drop-queue"),
        ("DELETE", "/devices/1"),
        ("DELETE", ""),
        ("DELETE", "/aliases/Ann%20Bell%20A"),
    ] {
        let path = scene.of(ANN, rest);
        let answer = world.call(method, &path, &reader, Some(&nothing), &[]).await;
        assert_eq!(answer.problem(403), "forbidden", "{path}");
        let answer = world.call(method, &path, &stranger, Some(&nothing), &[]).await;
        assert_eq!(answer.problem(404), "not_found", "{path}");
    }
    assert_eq!(
        world.call("GET", &scene.of(ANN, ""), &reader, None, &[]).await.expect(200)["devices"],
        json!(1)
    );
    assert_eq!(world.call("GET", &scene.of(ANN, ""), &stranger, None, &[]).await.problem(404), "not_found");
}

/// Goal: without a way to the homes nothing is changed, and that is said; method: a deployment without Redis.
#[tokio::test]
async fn without_a_way_to_the_homes() {
    let world = World::new().await;
    let site = world.site("a.example").await;
    let path = format!("/v1/sites/{}/members/{}/resume", site["id"].as_str().unwrap(), written(ANN));
    assert_eq!(world.post(&path, &json!({})).await.problem(503), "unavailable");
}
