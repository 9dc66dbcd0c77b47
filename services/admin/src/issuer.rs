//! The built-in OpenID Connect issuer, with which invited people join by an ordinary client.
//!
//! A person opens the link of an invite, which shows what to do ([`invitation`]). Their client sends them to the
//! issuer's page ([`authorize`]), where they give the code of the invite; the client then gets a token ([`token`]),
//! registers with it, and the worker uses the invite up with the registration. Nothing here ever uses one up, and
//! nothing here needs JavaScript, a cookie, or anything from another host.
//!
//! It is for the public, on a port of its own, and knows no API key. It must not tell one site's invites at another.

mod authorize;
mod client;
mod invitation;
mod keys;
mod metadata;
mod origin;
mod page;
mod params;
mod refusal;
mod site;
mod token;
mod tries;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use tmtp_chassis::Context;
use tmtp_domain::{InviteCode, SiteId};
use tmtp_store::{InviteRecord, NewAudit, Store};
use tokio::net::TcpListener;
use tokio::time::timeout;
use uuid::Uuid;

use self::keys::SigningKeys;
use self::page::Kind;
pub(crate) use self::page::qr;
use self::refusal::Refusal;
use self::tries::Tries;
use crate::config::{Config, Public};
use crate::metrics::{AdminMetrics, TRIES, class};

/// Octets of the largest form.
const FORM_MAX: usize = 32 * 1024;

/// The issuer of all sites. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Issuer {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    config: Public,
    /// Where the public reaches this, without a slash at the end.
    url: String,
    keys: SigningKeys,
    tries: Tries,
    metrics: AdminMetrics,
}

/// Serves the pages for invited people until the drain, if they are wanted.
pub(crate) async fn start(cx: &Context<Config>, store: Store, metrics: AdminMetrics) -> anyhow::Result<()> {
    let (Some(address), Some(url)) = (cx.config.public.address, &cx.config.public.url) else { return Ok(()) };
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("open the public port {address}"))?;
    let address = listener.local_addr().context("ask for the public address")?;
    tracing::info!(%address, "public pages listen");

    let issuer = Issuer::new(store, &cx.config.public, url, metrics);
    let service =
        issuer.router(cx.config.limits.request_timeout).into_make_service_with_connect_info::<SocketAddr>();
    let drain = cx.life.drain().cancelled_owned();
    cx.life.spawn("public", async move {
        axum::serve(listener, service).with_graceful_shutdown(drain).await.context("serve the public pages")
    });
    Ok(())
}

impl Issuer {
    /// An issuer that the public reaches at `url`.
    pub(crate) fn new(store: Store, config: &Public, url: &str, metrics: AdminMetrics) -> Self {
        let shared = Shared {
            keys: SigningKeys::new(store.clone()),
            store,
            config: config.clone(),
            url: url.trim_end_matches('/').to_owned(),
            tries: Tries::new(),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Every page. Needs the address of whoever connects.
    ///
    /// A request that takes longer than `request_timeout` is broken off.
    pub(crate) fn router(self, request_timeout: Duration) -> Router {
        Router::new()
            .route("/{site}/i/{code}", get(invitation::show))
            .route("/{site}/authorize", get(authorize::show).post(authorize::submit))
            .route("/{site}/token", post(token::exchange).options(token::preflight))
            .route("/jwks", get(metadata::jwks))
            .route("/{site}/.well-known/openid-configuration", get(metadata::configuration))
            .fallback(async || Refusal::Nothing.into_response(Kind::Page))
            .method_not_allowed_fallback(async || Refusal::Method.into_response(Kind::Page))
            .layer(DefaultBodyLimit::max(FORM_MAX))
            .layer(from_fn_with_state(request_timeout, limit_time))
            .layer(from_fn_with_state(self.clone(), count))
            .with_state(self)
    }

    /// The issuer of a site, as its tokens and its providers have it.
    fn issuer(&self, site: SiteId) -> String {
        format!("{}/{site}", self.shared.url)
    }

    /// The usable invite of a code that somebody typed. Counts the try, and a code that does not exist as a guess.
    async fn redeem(&self, site: SiteId, text: &str, from: SocketAddr) -> Result<InviteRecord, Refusal> {
        let tries =
            |outcome: &str| self.shared.metrics.invite_tries_total.with_label_values(&[outcome]).inc();
        let [good, unusable, unknown, malformed, blocked] = TRIES;
        if let Err(wait) = self.shared.tries.begin(site, from.ip()) {
            tries(blocked);
            return Err(Refusal::TooManyTries { wait });
        }
        let code = InviteCode::parse(text).map_err(|error| {
            tries(malformed);
            Refusal::Malformed(error)
        })?;
        let Some(invite) = self.shared.store.invite_by_code(site, &code.hash(site)).await? else {
            tries(unknown);
            self.shared.tries.failed(site, from.ip());
            self.note_failure(site, from).await?;
            return Err(Refusal::UnknownCode);
        };
        let state = invite.usage.state(jiff::Timestamp::now().as_millisecond());
        tries(if state.is_usable() { good } else { unusable });
        Refusal::of_state(state).map_or(Ok(invite), Err)
    }

    /// Somebody gave a code that does not exist. The code itself is not noted: it may be a mistyped good one.
    async fn note_failure(&self, site: SiteId, from: SocketAddr) -> Result<(), Refusal> {
        let target = site.to_string();
        let from = from.ip().to_string();
        let audit = NewAudit {
            site: Some(site),
            key: None,
            action: "invite.code_failed",
            target: &target,
            from: &from,
            request: Uuid::new_v4(),
            before: None,
            after: None,
        };
        let mut tx = self.shared.store.admin().await?;
        tx.note(&audit).await?;
        Ok(tx.commit().await?)
    }
}

/// Whoever sends a form octet by octet must not have a place here for ever.
async fn limit_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let kind = if request.uri().path().ends_with("/token") { Kind::Json } else { Kind::Page };
    let answer = timeout(limit, next.run(request)).await;
    answer.unwrap_or_else(|_| Refusal::Unavailable.into_response(kind))
}

async fn count(State(issuer): State<Issuer>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    issuer.shared.metrics.public_requests_total.with_label_values(&[class(response.status())]).inc();
    response
}
