//! The router on a fresh database, keys of every role, and requests to it. Holds no expectation of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tmtp_admin::{AdminMetrics, Changes, Config, Patience};
use tmtp_bus::Bus;
use tmtp_chassis::{Context, Health};
use tmtp_contract::{Command, CommandEntry, Envelope};
use tmtp_domain::{GatewayId, KeyMode, KeySecret, Role, SessionId, Site, SiteId};
use tmtp_store::{NewApiKey, Reader, Sights, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

/// For what has to come about.
pub const DEADLINE: Duration = Duration::from_secs(30);
const SHARDS: u16 = 4;

/// A deployment with nothing but the API.
pub struct World {
    pub store: Store,
    pub url: String,
    config: Config,
    router: Router,
    changes: Option<Changes>,
    /// A key that may do everything.
    pub operator: String,
}

/// What a request was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body; null when there is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The body, if the status is this one.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    /// The code of the problem, if the status is this one.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        let body = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(body["request_id"], self.header("x-request-id"));
        body["code"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        let url = tmtp_testkit::fresh_database();
        // One is enough for everything: whoever waits for a second one while it has one fails here.
        let store = Store::connect(&url, 1, DEADLINE).await.unwrap();
        store.migrate(SHARDS).await.unwrap();
        let router = router(config.clone(), store.clone());
        let mut world = Self { store, url, config, router, changes: None, operator: String::new() };
        world.operator = world.key(Role::Operator, None).await;
        world
    }

    /// A deployment with a worker, which is asked for changes.
    pub async fn with_worker() -> (Self, Working) {
        let mut world = Self::new().await;
        let redis = tmtp_testkit::fresh_redis();
        let mut config = tmtp_worker::Config::default();
        config.postgres.url = world.url.as_str().into();
        config.redis.url = redis.as_str().into();
        config.journal.spill_after = Duration::from_millis(200);
        // The sessions of a test have a gateway that says nothing.
        config.shards.gateway_lease = DEADLINE * 10;
        let cx = Context::new(config);
        let worker = tokio::spawn(tmtp_worker::serve(cx.clone()));
        tokio::time::timeout(DEADLINE, cx.health.wait_ready()).await.unwrap();
        let bus = Bus::connect(&redis).await.unwrap();
        let changes = Changes::new(bus.clone(), Patience::default());
        tokio::spawn(changes.clone().listen(CancellationToken::new()));
        world.router = routes(world.config.clone(), world.store.clone(), Some(changes.clone()));
        world.changes = Some(changes);
        (world, Working { bus, gateway: GatewayId(Uuid::new_v4()), sessions: 0, cx, worker })
    }

    /// A read of all sites.
    pub async fn all(&self) -> Reader {
        self.store.read(&Sights::All).await.unwrap()
    }

    /// Does all jobs that are there.
    pub async fn work_off(&self) {
        let config = Arc::new(self.config.clone());
        tmtp_admin::work_off(config, self.store.clone(), self.changes.clone()).await.unwrap();
    }

    /// From now on the API's database is not there.
    pub fn without_database(&mut self) {
        let url = "postgres://nobody@127.0.0.1:1/none";
        let store = Store::connect_lazily(url, 1, Duration::from_secs(1)).unwrap();
        self.router = router(self.config.clone(), store);
    }

    /// From now on the server says that it cannot work.
    pub fn not_ready(&mut self) {
        let metrics = AdminMetrics::register(&tmtp_chassis::prometheus::Registry::new()).unwrap();
        let config = Arc::new(self.config.clone());
        self.router = tmtp_admin::router(config, self.store.clone(), Health::new(), metrics);
    }

    /// A key, made without the API.
    pub async fn key(&self, role: Role, sites: Option<Vec<SiteId>>) -> String {
        let mut random = [0; 32];
        random[..16].copy_from_slice(Uuid::new_v4().as_bytes());
        let secret = KeySecret::new(KeyMode::Live, &random);
        let mut tx = self.store.admin().await.unwrap();
        let key = NewApiKey {
            id: Uuid::new_v4(),
            hash: secret.hash(),
            name: format!("{role} of the test"),
            role,
            scopes: None,
            sites,
            created_by: None,
            expires_at: None,
        };
        tx.create_key(&key).await.unwrap();
        tx.commit().await.unwrap();
        secret.reveal().to_owned()
    }

    /// A site with one host name, made through the API.
    pub async fn site(&self, domain: &str) -> Value {
        let body = json!({ "name": "A site", "domains": [domain], "kind": "sandbox" });
        self.post("/v1/sites", &body).await.expect(201)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &self.operator, None, &[]).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &self.operator, Some(body), &[]).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path, &self.operator, Some(body), &[]).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &self.operator, None, &[]).await
    }

    /// Any request, with a key unless it is empty.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let text = body.map(Value::to_string);
        self.call_text(method, path, key, text, headers).await
    }

    /// The same with a body that need not be JSON.
    pub async fn call_text(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: Option<String>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method.parse::<Method>().unwrap()).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if body.is_some() && headers.iter().all(|(name, _)| *name != "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.map_or_else(Body::empty, Body::from)).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let octets = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        let text = String::from_utf8(octets.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }
}

/// A worker that runs until it is dropped, and a gateway that publishes and does not listen.
pub struct Working {
    bus: Bus,
    gateway: GatewayId,
    sessions: u64,
    cx: Context<tmtp_worker::Config>,
    worker: JoinHandle<anyhow::Result<()>>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.worker.abort();
        self.cx.life.start_abort("the test is over");
    }
}

impl Working {
    /// Opens a session, and names it.
    pub async fn open(&mut self, site: &Site, command: Command) -> u64 {
        self.sessions += 1;
        self.publish(site, self.sessions, 1, command).await;
        self.sessions
    }

    pub async fn publish(&self, site: &Site, session: u64, seq: u64, command: Command) {
        let envelope = Envelope { site: site.id, session: SessionId(session), seq, trace: None, command };
        let entry = tmtp_contract::encode(&CommandEntry::new(self.gateway, vec![envelope])).unwrap();
        self.bus.append_commands(&[(site.shard, entry)]).await.unwrap();
    }
}

fn router(config: Config, store: Store) -> Router {
    routes(config, store, None)
}

fn routes(config: Config, store: Store, changes: Option<Changes>) -> Router {
    let health = Health::new();
    health.ready();
    let metrics = AdminMetrics::register(&tmtp_chassis::prometheus::Registry::new()).unwrap();
    let config = Arc::new(config);
    let router = match changes {
        Some(changes) => tmtp_admin::router_with(config, store, health, metrics, changes),
        None => tmtp_admin::router(config, store, health, metrics),
    };
    router.layer(MockConnectInfo(SocketAddr::from(([192, 0, 2, 7], 4_711))))
}

/// The id in an answer of the API.
pub fn site_id(site: &Value) -> SiteId {
    let text = site["id"].as_str().unwrap();
    SiteId(Uuid::try_parse(text.strip_prefix("site_").unwrap()).unwrap())
}
