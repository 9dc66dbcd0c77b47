//! OpenID Connect providers of a site: whose sign-in tokens it takes. Gateways learn of a change within seconds.
//!
//! The built-in provider of invitations is none of them: it follows from the site.

mod change;
mod create;
mod shape;
mod show;
mod trial;

use tmtp_domain::{Provider, ProviderError, SiteId, validate_providers};
use tmtp_oidc::{Keys, Limits, Reach};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::shape::OidcProvider;
use crate::api::caller::Caller;
use crate::api::change::{Change, Note};
use crate::api::{Api, Problem};
use crate::config::OidcReach;

/// The routes of this resource.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(show::list, create::create))
        .routes(routes!(show::show, change::change, change::remove))
        .routes(routes!(trial::test))
        .routes(routes!(trial::refresh))
}

impl From<ProviderError> for Problem {
    fn from(error: ProviderError) -> Self {
        Self::invalid(error.field, error.advice)
    }
}

/// The providers as they are to be, or the first thing that is wrong with them together.
fn check(providers: &[Provider]) -> Result<(), Problem> {
    Ok(validate_providers(providers)?)
}

/// What fetches documents of providers; it has no keys yet.
fn fetcher(api: &Api) -> Result<Keys, Problem> {
    let reach = match api.config.oidc.reach {
        OidcReach::Public => Reach::Public,
        OidcReach::Anywhere => Reach::Anywhere,
    };
    Keys::new(Limits { reach, ..Limits::default() }).map_err(|error| {
        tracing::error!(%error, "nothing can be fetched");
        Problem::unavailable()
    })
}

async fn note(
    change: &mut Change,
    action: &'static str,
    site: SiteId,
    before: Option<&OidcProvider>,
    after: Option<&OidcProvider>,
) -> Result<(), Problem> {
    let target = before.or(after).map(|provider| provider.id.clone()).unwrap_or_default();
    change.note(Note { site: Some(site), action, target: &target, before, after }).await
}

/// The provider, if the caller's key is for its site.
async fn find<P>(
    caller: &Caller<P>,
    site: crate::api::id::SiteRef,
    id: &str,
) -> Result<(SiteId, tmtp_store::ProviderRecord), Problem> {
    let (mut read, site) = caller.read_site(site).await?;
    let record = read.provider(site.id, id).await?.ok_or_else(Problem::not_found)?;
    Ok((site.id, record))
}
