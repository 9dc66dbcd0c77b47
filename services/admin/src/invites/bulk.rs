//! `POST /v1/sites/{site}/invites/bulk`: many invites at once, as JSON or CSV, made by a job with a result per row.
//!
//! Codes are chosen here, where the caller is, and sealed so that only its key reads them in the job's result.

use std::collections::{HashMap, HashSet};

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tmtp_domain::{NameHolder, SiteId};
use tmtp_store::{NewInvite, NewJob};
use utoipa::ToSchema;
use uuid::Uuid;

use super::create::{InviteToBe, check};
use super::{domains, link, random_code};
use crate::api::Problem;
use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Note, OnceParams};
use crate::api::dry_run::{DryRun, DryRunParams};
use crate::api::id::{JobRef, SiteRef};
use crate::api::openapi::ChangeRefusals;
use crate::api::payload::{self, Place, RawPayload, parse};
use crate::api::sealed::seal;
use crate::jobs::{INVITES, Job};
use crate::sites::hold;

/// Rows of one request.
const ROWS_MAX: usize = 1_000;
/// Columns that a CSV may have.
const COLUMNS: [&str; 8] =
    ["alias", "external_id", "groups", "role", "note", "max_uses", "requires_approval", "expires_at"];

/// What would become of rows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkTrial {
    /// How many invites would be made.
    valid: usize,
    /// How many rows are wrong.
    invalid: usize,
    rows: Vec<BulkRow>,
}

/// What would become of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct BulkRow {
    /// Which, from 1.
    row: usize,
    ok: bool,
    /// Which part of it is wrong.
    #[schema(required = true)]
    param: Option<String>,
    /// What is wrong.
    #[schema(required = true)]
    error: Option<String>,
}

/// What the job has to know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BulkInput {
    /// The request in whose name it is done, and where that came from.
    pub(crate) request: Uuid,
    pub(crate) from: String,
    pub(crate) key: Uuid,
    pub(crate) rows: Vec<Planned>,
}

/// A row: an invite, or why it is none.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Planned {
    pub(crate) told: BulkRow,
    pub(crate) invite: Option<NewInvite>,
}

/// A code that is told to the key that asked for it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BulkSecret {
    pub(crate) row: usize,
    pub(crate) code: String,
    pub(crate) link: Option<String>,
}

/// Make many invites
///
/// Up to 1,000, as a JSON array or as CSV with a line of column names (the fields of an invite; several `groups` are
/// separated by `;`). Rows that are wrong are left out. The job's `result` has a row for each. For a day the key
/// that asked for them, and only it, reads there the codes and links, too; then they are erased, and an invite whose code was
/// not kept has to be resent.
#[utoipa::path(post, path = "/v1/sites/{site}/invites/bulk", operation_id = "create_invites", tag = "invites",
    security(("key" = ["invites:write"])),
    params(("site" = SiteRef, Path, description = "The site's id"), DryRunParams, OnceParams),
    request_body(content((Vec<InviteToBe> = "application/json"), (String = "text/csv"))),
    responses((status = 202, description = "The job that makes them", body = Job),
              (status = 200, description = "With `dry_run`: what would become of each row", body = BulkTrial),
              ChangeRefusals))]
pub(crate) async fn create(
    caller: Caller<may::WriteInvites>,
    Place(site_ref): Place<SiteRef>,
    dry_run: DryRun,
    raw: RawPayload,
) -> Answer {
    let site = caller.living_site(site_ref).await?.id;
    let rows = read(&raw)?;
    if !(1..=ROWS_MAX).contains(&rows.len()) {
        return Err(Problem::invalid("body", format!("give 1 to {ROWS_MAX} rows")).into());
    }
    // What is read beside the change is read before it: it has the only connection that a request may have.
    let (rows, secrets) = plan(&caller, site, &rows).await?;
    if dry_run.0 {
        let rows: Vec<BulkRow> = rows.into_iter().map(|planned| planned.told).collect();
        let valid = rows.iter().filter(|row| row.ok).count();
        return Ok(Json(BulkTrial { valid, invalid: rows.len() - valid, rows }).into_response());
    }
    let mut change = caller.begin_post(&raw.sent).await?;
    hold(&caller, &mut change, site_ref).await?;
    let id = Uuid::new_v4();
    let (request, from) = change.origin();
    let input = BulkInput { request, from, key: caller.key().id, rows };
    let json = |value: Result<String, serde_json::Error>| value.map_err(|_| Problem::internal());
    let input = json(serde_json::to_string(&input))?;
    let sealed = seal(&caller.identity.seal, id.as_bytes(), &json(serde_json::to_string(&secrets))?)?;
    let new = NewJob {
        id,
        site: Some(site),
        kind: INVITES,
        input: &input,
        created_by: Some(caller.key().id),
        sealed: Some(&sealed),
    };
    let job = Job::of(change.tx.create_job(&new).await?.ok_or_else(Problem::internal)?);
    let target = JobRef::of(id).to_string();
    let note =
        Note { site: Some(site), action: "invite.bulk", target: &target, before: None, after: Some(&job) };
    change.note(note).await?;
    change.answer(StatusCode::ACCEPTED, &job).await
}

/// The rows as JSON, whatever they came as.
fn read(raw: &RawPayload) -> Result<Vec<Value>, Problem> {
    match &*raw.kind {
        "text/csv" => read_csv(&raw.body),
        _ if raw.is_json() => parse(&raw.body),
        _ => {
            let title = "The body must be JSON or CSV.";
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json_or_csv", title)
                .detail("Send it with `Content-Type: application/json` or `text/csv`.")
                .param("Content-Type"))
        }
    }
}

fn read_csv(body: &[u8]) -> Result<Vec<Value>, Problem> {
    if body.contains(&0) {
        return Err(Problem::invalid("body", "leave out the character U+0000: no text can hold it"));
    }
    let wrong = |error: csv::Error| Problem::invalid("body", error.to_string());
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(body);
    let columns = reader.headers().map_err(wrong)?.clone();
    for (index, column) in columns.iter().enumerate() {
        // Some programs begin with a mark of the byte order.
        let column = if index == 0 { column.trim_start_matches('\u{feff}') } else { column };
        if !COLUMNS.contains(&column) {
            let detail = format!("the column {column:?} is unknown; use {}", COLUMNS.join(", "));
            return Err(Problem::invalid("body", detail));
        }
        if columns.iter().take(index).any(|earlier| earlier.trim_start_matches('\u{feff}') == column) {
            return Err(Problem::invalid("body", format!("the column {column:?} is there twice")));
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let fields = columns.iter().zip(&record).filter(|(_, text)| !text.is_empty());
        let row: Map<String, Value> = fields
            .map(|(column, text)| {
                let column = column.trim_start_matches('\u{feff}');
                (column.to_owned(), value(column, text))
            })
            .collect();
        rows.push(Value::Object(row));
        if rows.len() > ROWS_MAX {
            break;
        }
    }
    Ok(rows)
}

/// A field of a CSV as JSON has it; what it cannot be stays text, and is told so when the row is read.
fn value(column: &str, text: &str) -> Value {
    let typed = match column {
        "max_uses" => text.parse::<i64>().ok().map(Value::from),
        "requires_approval" => match &*text.to_ascii_lowercase() {
            "true" | "yes" | "1" => Some(Value::Bool(true)),
            "false" | "no" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        "groups" => {
            let groups = text.split(';').map(str::trim).filter(|group| !group.is_empty());
            Some(Value::Array(groups.map(Value::from).collect()))
        }
        _ => None,
    };
    typed.unwrap_or_else(|| Value::from(text))
}

/// What is to become of each row, and the codes of those that are invites.
async fn plan<P>(
    caller: &Caller<P>,
    site: SiteId,
    rows: &[Value],
) -> Result<(Vec<Planned>, Vec<BulkSecret>), Problem> {
    let domains = domains(caller, site).await?;
    let wanted: Vec<Result<InviteToBe, Problem>> = rows.iter().map(|row| payload::read("row", row)).collect();
    let aliases: HashSet<(SiteId, String)> = wanted
        .iter()
        .flatten()
        .filter_map(|row| row.alias.clone())
        // What is no alias is told so below, and Postgres need not take it.
        .filter(|alias| tmtp_domain::Alias::parse(alias).is_ok())
        .map(|alias| (site, alias))
        .collect();
    let aliases: Vec<(SiteId, String)> = aliases.into_iter().collect();
    let mut taken = caller.read().await?.names(&aliases).await?;
    let (mut planned, mut secrets) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for (index, wanted) in wanted.into_iter().enumerate() {
        let row = index + 1;
        let code = random_code()?;
        let invite = wanted
            .and_then(|wanted| check(wanted, code.hash(site)))
            .and_then(|invite| is_free(site, invite, &mut taken));
        let told = match &invite {
            Ok(_) => BulkRow { row, ok: true, param: None, error: None },
            Err(problem) => {
                let (param, error) = problem.told();
                BulkRow { row, ok: false, param, error: Some(error) }
            }
        };
        if invite.is_ok() {
            let link = link(&caller.api, &domains, site, &code);
            secrets.push(BulkSecret { row, code: code.reveal(), link });
        }
        planned.push(Planned { told, invite: invite.ok() });
    }
    Ok((planned, secrets))
}

/// An alias is for one: not somebody's, and not that of an earlier row.
fn is_free(
    site: SiteId,
    invite: NewInvite,
    taken: &mut HashMap<(SiteId, String), NameHolder>,
) -> Result<NewInvite, Problem> {
    if let Some(alias) = &invite.alias
        && taken.insert((site, alias.clone()), NameHolder::Reserved).is_some()
    {
        return Err(Problem::invalid("alias", "this name is not available"));
    }
    Ok(invite)
}
