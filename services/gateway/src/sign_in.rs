//! Checks sign-in tokens of people who register, for all links. Never keeps one, and never logs one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use tmtp_domain::{Identity, Provider, ProviderKind, Site};
use tmtp_oidc::{Error, FetchError, Keys, Limits, Reach, Verifier};

use crate::config::SignIn;
use crate::metrics::Metrics;

/// A provider that has not given its keys by then does not help the client any more, which is let go after 5 seconds.
const FETCH_WITHIN: Duration = Duration::from_secs(4);

/// Checks tokens.
pub struct SignIns {
    /// For the built-in issuer, which the operator has set up.
    own: Verifier,
    /// For providers that sites' admins have set up.
    others: Verifier,
    public_url: Option<String>,
    keys_url: Option<String>,
    metrics: Metrics,
}

impl SignIns {
    /// Nothing is fetched before somebody signs in. Fails if the machine's root certificates cannot be read.
    pub fn new(config: &SignIn, metrics: Metrics) -> Result<Self, FetchError> {
        let limits = |reach| Limits { reach, wait_max: FETCH_WITHIN, ..Limits::default() };
        let reach = if config.private_providers { Reach::Anywhere } else { Reach::Public };
        Ok(Self {
            own: Verifier::new(Keys::new(limits(Reach::Anywhere))?),
            others: Verifier::new(Keys::new(limits(reach))?),
            public_url: config.public_url.clone(),
            keys_url: config.keys_url.clone(),
            metrics,
        })
    }

    /// Whose token this is, which a client at this address has sent; `None`: nobody's who may sign in at this site.
    pub fn check(
        self: &Arc<Self>,
        site: Arc<Site>,
        client: IpAddr,
        token: String,
    ) -> BoxFuture<'static, Option<Identity>> {
        let this = Arc::clone(self);
        Box::pin(async move {
            let checked = this.verify(&site, &token).await;
            let outcome = if checked.is_ok() { "accepted" } else { "refused" };
            this.metrics.sign_ins_total.with_label_values(&[outcome]).inc();
            checked
                .inspect_err(|error| {
                    tracing::info!(site.id = %site.id, %client, %error, "a sign-in token is not taken");
                })
                .ok()
        })
    }

    async fn verify(&self, site: &Site, token: &str) -> Result<Identity, Error> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let (mut own, others): (Vec<Provider>, Vec<Provider>) = site
            .sign_in_providers(self.public_url.as_deref())
            .into_iter()
            .partition(|provider| provider.kind == ProviderKind::Invitation);
        for (provider, keys_url) in own.iter_mut().zip(&self.keys_url) {
            provider.jwks_uri.clone_from(keys_url);
        }
        match self.own.verify(token, &own, now).await {
            Err(Error::Issuer) => self.others.verify(token, &others, now).await,
            checked => checked,
        }
    }
}
