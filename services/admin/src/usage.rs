//! How much sites are used: members, posts and their octets, by day.

use axum::Json;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tmtp_domain::SiteId;
use tmtp_store::{Reader, UsageRecord};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::caller::{Caller, may};
use crate::api::change::Shown;
use crate::api::id::SiteRef;
use crate::api::openapi::Refusals;
use crate::api::page::{List, Listing, PageParams};
use crate::api::payload::Place;
use crate::api::{Api, Problem};

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(of_all)).routes(routes!(of_site))
}

/// A day of a site on which something was posted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageDay {
    site: SiteRef,
    /// In UTC.
    #[schema(format = "date", example = "2026-12-31")]
    day: String,
    /// How many of its members of now had registered by the end of the day.
    members: i64,
    /// Posts, forwarded ones included, that were queued for at least one device.
    messages: i64,
    /// The octets of their data, each post once, whoever receives it.
    octets: i64,
}

/// Which days are wanted.
#[derive(Debug, Serialize, Deserialize, PartialEq, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    /// Not before this day.
    #[param(format = "date", max_length = 10)]
    from: Option<String>,
    /// Not after this day.
    #[param(format = "date", max_length = 10)]
    to: Option<String>,
}

/// Where a page ends.
type Behind = (String, SiteRef);

/// Show how much sites are used
///
/// Of all sites that the key is for. The last seconds are not counted yet.
#[utoipa::path(get, path = "/v1/usage", operation_id = "list_usage", tag = "usage",
    security(("key" = ["usage:read"])), params(UsageQuery, PageParams),
    responses((status = 200, description = "By day, and then by site", body = List<UsageDay>), Refusals))]
pub(crate) async fn of_all(
    caller: Caller<may::ReadUsage>,
    listing: Listing<UsageQuery, Behind>,
) -> Shown<List<UsageDay>> {
    list(caller.read().await?, "/v1/usage", caller.sites(), &listing).await
}

/// Show how much a site is used
///
/// The last seconds are not counted yet.
#[utoipa::path(get, path = "/v1/sites/{site}/usage", operation_id = "list_site_usage", tag = "usage",
    security(("key" = ["usage:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"), UsageQuery, PageParams),
    responses((status = 200, description = "By day", body = List<UsageDay>), Refusals))]
pub(crate) async fn of_site(
    caller: Caller<may::ReadUsage>,
    Place(site): Place<SiteRef>,
    listing: Listing<UsageQuery, Behind>,
) -> Shown<List<UsageDay>> {
    let (read, known) = caller.read_site(site).await?;
    list(read, &format!("/v1/sites/{site}/usage"), Some(&[known.id]), &listing).await
}

async fn list(
    mut read: Reader,
    path: &str,
    sites: Option<&[SiteId]>,
    listing: &Listing<UsageQuery, Behind>,
) -> Shown<List<UsageDay>> {
    let from = day("from", listing.filter.from.as_deref().unwrap_or("1970-01-01"))?;
    let to = day("to", listing.filter.to.as_deref().unwrap_or("9999-12-31"))?;
    let after = match &listing.after {
        // A cursor is whatever somebody sends.
        Some((behind, site)) => Some((day("cursor", behind)?, SiteId::from(*site))),
        None => None,
    };
    let after = after.as_ref().map(|(behind, site)| (behind.as_str(), *site));
    let rows = read.usage(sites, (&from, &to), after, listing.fetch()).await?;
    let behind = |row: &UsageRecord| (row.day.clone(), SiteRef::from(row.site));
    let shown = |row: UsageRecord| UsageDay {
        site: row.site.into(),
        day: row.day,
        members: row.members,
        messages: row.messages,
        octets: row.octets,
    };
    Ok(Json(listing.page(path, rows, behind, shown)))
}

/// A day, in its one form.
fn day(param: &str, text: &str) -> Result<String, Problem> {
    let day = text.parse::<Date>().ok().filter(|day| text.len() == 10 && day.year() >= 1);
    day.map(|day| day.to_string()).ok_or_else(|| Problem::invalid(param, "give a day such as 2026-12-31"))
}
