//! An issuer with a site, and the short words that the cases are told in: the browser's and the client's requests.

use std::net::SocketAddr;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::Value;
use tmtp_chassis::prometheus::Registry;
use tmtp_domain::{Identity, InviteCode, InviteId, Provider, Registration, SiteId};
use tmtp_oidc::{Keys, Limits, Reach, Verifier};
use tmtp_store::{CreateSite, NewInvite, Reader, Sights, Store};
use uuid::Uuid;

use crate::config::Public;
use crate::issuer::Issuer;
use crate::issuer::authorize::hash;
use crate::metrics::AdminMetrics;

/// What only the client knows.
pub const VERIFIER: &str = "the-client-has-43-to-128-of-these-characters";
/// The client on the web that is registered.
pub const WEB_CLIENT: &str = "https://chat.example/u";

pub struct Rig {
    pub store: Store,
    pub site: SiteId,
    pub url: String,
    pub metrics: AdminMetrics,
    http: Client,
}

/// An answer, read.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(Duration::from_secs(30)).await
    }

    /// An issuer that gives a request so much time.
    pub async fn with(request_timeout: Duration) -> Self {
        let wait = Duration::from_secs(20);
        let store = Store::connect(&tmtp_testkit::fresh_database(), 4, wait).await.unwrap();
        store.migrate(4).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config = Public { web_clients: vec![WEB_CLIENT.to_owned()], proxies: 1, ..Public::default() };
        let metrics = AdminMetrics::register(&Registry::new()).unwrap();
        let router = Issuer::new(store.clone(), &config, &url, metrics.clone()).router(request_timeout);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        let site = SiteId(Uuid::new_v4());
        let rig = Self { store, site, url, metrics, http };
        rig.create_site(site, "Acme <& Söhne>", "acme.example").await;
        rig
    }

    pub async fn create_site(&self, id: SiteId, name: &str, domain: &str) {
        let site = CreateSite {
            id,
            name: name.to_owned(),
            domains: vec![domain.to_owned()],
            registration: Registration::Open,
        };
        self.store.create_site(&site).await.unwrap();
    }

    /// A read of all sites.
    pub async fn all(&self) -> Reader {
        self.store.read(&Sights::All).await.unwrap()
    }

    /// An invite of the site, whose code is made of this number.
    pub async fn invite(&self, number: u64, change: impl FnOnce(&mut NewInvite)) -> (InviteId, String) {
        let code = InviteCode::from_random(number);
        let mut invite = NewInvite::for_one(InviteId(Uuid::new_v4()), code.hash(self.site));
        change(&mut invite);
        let mut tx = self.store.admin().await.unwrap();
        tx.create_invites(self.site, None, &[invite.clone()]).await.unwrap();
        tx.commit().await.unwrap();
        (invite.id, code.reveal())
    }

    pub async fn revoke(&self, invite: InviteId) {
        let mut tx = self.store.admin().await.unwrap();
        tx.revoke_invite(self.site, invite).await.unwrap().unwrap();
        tx.commit().await.unwrap();
    }

    /// A request below the site, with headers, and with a form if there is one.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        form: Option<&[(&str, &str)]>,
    ) -> Answer {
        let mut request = self.http.request(method, format!("{}/{}/{path}", self.url, self.site));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(form) = form {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.text().await.unwrap() }
    }

    /// The issuer's keys, which are the same for all sites.
    pub async fn keys(&self) -> Answer {
        let response = self.http.get(format!("{}/jwks", self.url)).send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.text().await.unwrap() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], None).await
    }

    /// The parameters that an ordinary client sends: the site's, and its own behind them.
    pub fn sign_in(&self) -> Vec<(String, String)> {
        let sign_in = Provider::invitation(self.site, "Acme", &self.url).sign_in();
        let announced: Vec<(String, String)> =
            url::form_urlencoded::parse(sign_in.login[1].as_bytes()).into_owned().collect();
        let own = [
            ("redirect_uri", "http://localhost:8123/u".to_owned()),
            ("state", "s&1".to_owned()),
            ("code_challenge", BASE64URL_NOPAD.encode(&hash(VERIFIER))),
            ("code_challenge_method", "S256".to_owned()),
        ];
        announced.into_iter().chain(own.map(|(name, value)| (name.to_owned(), value))).collect()
    }

    /// The person gives a code on the page.
    pub async fn submit(&self, sign_in: &[(String, String)], code: &str) -> Answer {
        self.submit_from("192.0.2.1", sign_in, code).await
    }

    pub async fn submit_from(&self, from: &str, sign_in: &[(String, String)], code: &str) -> Answer {
        let mut form: Vec<(&str, &str)> =
            sign_in.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        form.push(("invite_code", code));
        self.ask(Method::POST, "authorize", &[("x-forwarded-for", from)], Some(&form)).await
    }

    /// The code for a token, with which the browser comes back to the client.
    pub async fn code(&self, invite_code: &str) -> String {
        let answer = self.submit(&self.sign_in(), invite_code).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        let back = Url::parse(answer.headers[LOCATION].to_str().unwrap()).unwrap();
        assert_eq!(back.as_str().split('?').next(), Some("http://localhost:8123/u"));
        let params: Vec<_> = back.query_pairs().into_owned().collect();
        assert_eq!(params[1], ("state".to_owned(), "s&1".to_owned()));
        assert_eq!(params[0].0, "code");
        params[0].1.clone()
    }

    /// The client fetches its token.
    pub async fn token(&self, code: &str, verifier: &str) -> Result<Value, String> {
        let client = self.site.to_string();
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &client),
            ("code", code),
            ("code_verifier", verifier),
            ("redirect_uri", "http://localhost:8123/u"),
        ];
        let answer =
            self.ask(Method::POST, "token", &[("origin", "http://localhost:8123")], Some(&form)).await;
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["access-control-allow-origin"], "http://localhost:8123");
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        if answer.status == StatusCode::OK {
            Ok(body)
        } else {
            Err(body["error"].as_str().unwrap().to_owned())
        }
    }

    /// Who a gateway takes somebody for.
    pub async fn verify(&self, id_token: &str) -> Result<Identity, tmtp_oidc::Error> {
        let limits = Limits { reach: Reach::Anywhere, ..Limits::default() };
        let verifier = Verifier::new(Keys::new(limits).unwrap());
        let providers = [Provider::invitation(self.site, "Acme", &self.url)];
        verifier.verify(id_token, &providers, jiff::Timestamp::now().as_second()).await
    }
}
