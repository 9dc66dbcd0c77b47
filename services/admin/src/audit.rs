//! The audit log: who changed what, when, from where. Read page by page, or all at once as lines of JSON.

use std::io;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tmtp_domain::SiteId;
use tmtp_store::{AuditEntry, AuditFilter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::caller::{Caller, may};
use crate::api::id::{KeyRef, RequestId, SiteRef};
use crate::api::openapi::Refusals;
use crate::api::page::{List, Listing, PageParams};
use crate::api::payload::Place;
use crate::api::time::Time;
use crate::api::{Api, Problem};

/// Entries that an export reads at a time.
const EXPORT_PAGE: i64 = 500;
const NDJSON: &str = "application/x-ndjson";

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(list_of_site))
}

/// Something that somebody did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct Entry {
    /// Higher than those of all earlier entries.
    id: i64,
    at: Time,
    /// The site; null for what concerns the deployment.
    #[schema(required = true)]
    site: Option<SiteRef>,
    /// With which key; null for what the server did by itself, or somebody with the database's own password.
    #[schema(required = true)]
    key: Option<KeyRef>,
    /// What.
    #[schema(example = "site.suspend")]
    action: String,
    /// To what: its id.
    target: String,
    /// The address that the request came from.
    from: String,
    request_id: RequestId,
    /// What it was.
    #[schema(value_type = Option<Object>, required = true)]
    before: Option<Box<RawValue>>,
    /// What it is.
    #[schema(value_type = Option<Object>, required = true)]
    after: Option<Box<RawValue>>,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditQuery {
    /// Of this action.
    #[param(max_length = 100)]
    action: Option<String>,
    /// With this key.
    key: Option<KeyRef>,
    /// To this: its id.
    #[param(max_length = 255)]
    target: Option<String>,
    /// Not before that.
    since: Option<Time>,
    /// Before that.
    until: Option<Time>,
}

impl Entry {
    fn of(entry: AuditEntry) -> Self {
        let json = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
        Self {
            id: entry.id,
            at: Time(entry.at),
            site: entry.site.map(Into::into),
            key: entry.key.map(KeyRef::of),
            action: entry.action,
            target: entry.target,
            from: entry.from,
            request_id: RequestId::of(entry.request),
            before: json(entry.before),
            after: json(entry.after),
        }
    }
}

impl AuditQuery {
    fn filter(&self, before: Option<i64>) -> AuditFilter<'_> {
        AuditFilter {
            sites: None,
            action: self.action.as_deref(),
            key: self.key.map(|key| key.0),
            target: self.target.as_deref(),
            since: self.since.map(|at| at.0),
            until: self.until.map(|at| at.0),
            before,
        }
    }
}

/// Read the audit log
///
/// With `Accept: application/x-ndjson` all entries come in one answer, one on each line; `limit` counts for nothing then.
#[utoipa::path(get, path = "/v1/audit", operation_id = "list_audit", tag = "audit",
    security(("key" = ["audit:read"])), params(AuditQuery, PageParams),
    responses((status = 200, description = "Entries of one's own sites, the newest first", content(
                   (List<Entry> = "application/json"), (Entry = "application/x-ndjson"))), Refusals))]
pub(crate) async fn list(
    caller: Caller<may::ReadAudit>,
    headers: HeaderMap,
    listing: Listing<AuditQuery, i64>,
) -> Result<Response, Problem> {
    let sites = caller.sites().map(<[SiteId]>::to_vec);
    answer(Log { caller, sites }, "/v1/audit", &headers, listing).await
}

/// Read the audit log of a site
///
/// With `Accept: application/x-ndjson` all entries come in one answer, one on each line; `limit` counts for nothing then.
#[utoipa::path(get, path = "/v1/sites/{site}/audit", operation_id = "list_site_audit", tag = "audit",
    security(("key" = ["audit:read"])),
    params(("site" = SiteRef, Path, description = "The site's id"), AuditQuery, PageParams),
    responses((status = 200, description = "The newest first", content(
                   (List<Entry> = "application/json"), (Entry = "application/x-ndjson"))), Refusals))]
pub(crate) async fn list_of_site(
    caller: Caller<may::ReadAudit>,
    Place(site): Place<SiteRef>,
    headers: HeaderMap,
    listing: Listing<AuditQuery, i64>,
) -> Result<Response, Problem> {
    let id = caller.site(site)?;
    caller.read().await?.site_record(id).await?.ok_or_else(Problem::not_found)?;
    let path = format!("/v1/sites/{site}/audit");
    answer(Log { caller, sites: Some(vec![id]) }, &path, &headers, listing).await
}

/// Which log.
struct Log {
    caller: Caller<may::ReadAudit>,
    /// Of these sites only.
    sites: Option<Vec<SiteId>>,
}

impl Log {
    async fn read(&self, filter: AuditFilter<'_>, limit: i64) -> Result<Vec<AuditEntry>, Problem> {
        let filter = AuditFilter { sites: self.sites.as_deref(), ..filter };
        Ok(self.caller.read().await?.audit(filter, limit).await?)
    }
}

async fn answer(
    log: Log,
    path: &str,
    headers: &HeaderMap,
    listing: Listing<AuditQuery, i64>,
) -> Result<Response, Problem> {
    if wants_lines(headers) {
        let lines = lines(log, listing.filter, listing.after);
        return Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response());
    }
    let rows = log.read(listing.filter.filter(listing.after), listing.fetch()).await?;
    let page: List<Entry> = listing.page(path, rows, |row| row.id, Entry::of);
    Ok(Json(page).into_response())
}

/// All entries, each as one line. A failure on the way breaks the answer off, so that nobody takes it for the whole.
fn lines(log: Log, query: AuditQuery, after: Option<i64>) -> impl Stream<Item = io::Result<String>> {
    stream::try_unfold(Some((log, query, after)), async |state| {
        let Some((log, query, after)) = state else { return Ok(None) };
        let rows = log.read(query.filter(after), EXPORT_PAGE).await;
        // What is wrong has been logged, and nobody reads it here.
        let rows = rows.map_err(|_| io::Error::other("the log cannot be read to its end"))?;
        let Some(last) = rows.last() else { return Ok(None) };
        let last = last.id;
        let mut text = String::new();
        for row in rows {
            let line = serde_json::to_string(&Entry::of(row));
            text.push_str(&line?);
            text.push('\n');
        }
        Ok(Some((text, Some((log, query, Some(last))))))
    })
}

fn wants_lines(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|accept| {
        accept.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim() == NDJSON)
    })
}
