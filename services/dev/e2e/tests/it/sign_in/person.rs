//! Somebody who joins with an ordinary client: it is told where to sign in, sends the browser there, waits for it to come
//! back, fetches the token, and registers with it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;
use tmtp_e2e::{Gateway, WAIT};
use tmtp_wire::{AuthBy, Oidc, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use url::Url;
use url::form_urlencoded::{Serializer, parse};

/// What only the client knows until it fetches its token: 43 characters at least, as the specification asks for.
const VERIFIER: &str = "a-text-of-enough-characters-that-only-the-client-knows";
/// What comes back with the browser.
const STATE: &str = "state & more";
/// What the client shows when the browser is back.
const DONE: &str = "You can close this window.";

/// A sign-in that has begun.
pub struct SignIn {
    entry: AuthBy<'static>,
    listener: TcpListener,
    redirect_uri: String,
    /// Where the browser is sent.
    pub address: String,
}

impl SignIn {
    /// Chooses the sign-in with this label among those that the site offers.
    pub async fn begin(gateway: &Gateway<'_>, label: &str) -> Result<Self> {
        let greeting = gateway.greeting().await?;
        ensure!(greeting.auth == Some(1), "the site asks for no sign-in: {greeting:?}");
        let offered = greeting.auth_by.context("no sign-ins")?;
        let entry =
            offered.into_iter().find(|entry| entry.label == label).context("the sign-in is not offered")?;
        // Real clients listen at port 8123; several tests run at once.
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let redirect_uri = format!("http://localhost:{}/u", listener.local_addr()?.port());
        let own = Serializer::new(String::new())
            .append_pair("redirect_uri", &redirect_uri)
            .append_pair("state", STATE)
            .append_pair(
                "code_challenge",
                &BASE64URL_NOPAD.encode(digest(&SHA256, VERIFIER.as_bytes()).as_ref()),
            )
            .append_pair("code_challenge_method", "S256")
            .finish();
        let [url, params] = &entry.login;
        let address = format!("{url}?{params}&{own}");
        Ok(Self { entry, listener, redirect_uri, address })
    }

    /// Waits for the browser to come back, and fetches the token.
    pub async fn token(&self) -> Result<Oidc> {
        let code = timeout(WAIT, self.code()).await.context("the browser does not come back")??;
        let [url, params] = &self.entry.token;
        let form = Serializer::new(String::new())
            .extend_pairs(parse(params.as_bytes()))
            .append_pair("code", &code)
            .append_pair("code_verifier", VERIFIER)
            .append_pair("redirect_uri", &self.redirect_uri)
            .finish();
        let answer = reqwest::Client::new()
            .post(url.as_ref())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .context("ask for the token")?;
        let status = answer.status();
        let said: Value = answer.json().await.context("the answer of the token's address")?;
        ensure!(status.is_success(), "no token: {said}");
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        // Without it the real client does not go on.
        ensure!(!text("scope").is_empty(), "no scope: {said}");
        Ok(Oidc {
            token_type: text("token_type"),
            expires_in: said["expires_in"].as_u64().context("expires_in")?,
            id_token: text("id_token"),
            access_token: text("access_token"),
            refresh_token: String::new(),
            scope: text("scope"),
        })
    }

    /// What the browser brings. Browsers ask for more than one thing.
    async fn code(&self) -> Result<String> {
        loop {
            let (mut stream, _) = self.listener.accept().await?;
            let mut octets = vec![0; 16 * 1024];
            let length = stream.read(&mut octets).await?;
            let text = String::from_utf8_lossy(&octets[..length]).into_owned();
            let page = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{DONE}",
                DONE.len()
            );
            stream.write_all(page.as_bytes()).await?;
            let path = text.split(' ').nth(1).unwrap_or_default();
            let url = Url::parse(&format!("http://localhost{path}"))?;
            if url.path() != "/u" {
                continue;
            }
            let brought: HashMap<String, String> = url.query_pairs().into_owned().collect();
            ensure!(brought.get("state").map(String::as_str) == Some(STATE), "another state: {url}");
            return brought.get("code").cloned().with_context(|| format!("no code: {url}"));
        }
    }
}

/// The registration of an ordinary client.
pub fn register(alias: &str, oidc: Option<Oidc>) -> Request {
    Request::Register { new_node: "laptop".into(), new_alias: alias.into(), oidc, invite: None }
}
