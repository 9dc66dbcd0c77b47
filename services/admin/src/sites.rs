//! Sites: what they look like in the API, and the steps of their lives.

mod change;
mod create;
mod domains;
mod life;
mod show;

use serde::Serialize;
use tmtp_domain::{SiteId, SiteStatus, parse_host};
use tmtp_store::SiteRecord;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::caller::Caller;
use crate::api::change::{Change, Note};
use crate::api::id::SiteRef;
use crate::api::time::Time;
use crate::api::words::{KindWord, RegistrationWord, StatusWord, Word};
use crate::api::{Api, Problem};

/// Octets of a name: it is part of the first frame of every connection.
const NAME_MAX: usize = 255;
/// Host names of one site.
const DOMAINS_MAX: usize = 50;

/// The routes of sites and of what they consist of.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create::create, show::list))
        .routes(routes!(show::show, change::change, life::delete))
        .routes(routes!(life::suspend))
        .routes(routes!(life::resume))
        .routes(routes!(life::restore))
        .routes(routes!(show::info))
        .routes(routes!(domains::list, domains::add))
        .routes(routes!(domains::remove))
}

/// A site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Site {
    pub(crate) id: SiteRef,
    /// What clients show.
    name: String,
    /// What it is for.
    kind: KindWord,
    /// Who may register, as the site's policy says.
    registration: RegistrationWord,
    /// Whether it is served: only `active` ones are.
    status: StatusWord,
    /// The suspension, if it is suspended; also while it is deleted.
    #[schema(required = true)]
    suspension: Option<Suspension>,
    /// Host names under which clients reach it.
    domains: Vec<String>,
    created_at: Time,
    changed_at: Time,
    /// When it is deleted by itself.
    #[schema(required = true)]
    expires_at: Option<Time>,
    /// When it was deleted.
    #[schema(required = true)]
    deleted_at: Option<Time>,
}

/// Why a site is not served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Suspension {
    /// For the site's admins.
    reason: String,
    /// For the site's members.
    #[schema(required = true)]
    notice: Option<String>,
    since: Time,
}

impl Site {
    pub(crate) fn of(record: &SiteRecord) -> Self {
        let suspension = record.suspended_at.map(|since| Suspension {
            reason: record.suspended_reason.clone().unwrap_or_default(),
            notice: record.suspended_notice.clone(),
            since: Time(since),
        });
        Self {
            id: record.id.into(),
            name: record.name.clone(),
            kind: Word(record.kind),
            registration: Word(record.registration),
            status: Word(record.status),
            suspension,
            domains: record.domains.clone(),
            created_at: Time(record.created_at),
            changed_at: Time(record.changed_at),
            expires_at: record.expires_at.map(Time),
            deleted_at: record.deleted_at.map(Time),
        }
    }
}

/// The site, locked for this change, if the caller's key is for it and it is not deleted.
pub(crate) async fn lock<P>(
    caller: &Caller<P>,
    change: &mut Change,
    site: SiteRef,
) -> Result<SiteRecord, Problem> {
    undeleted(lock_any(caller, change, site).await?)
}

/// The same, also if it is deleted: for the steps of its life.
async fn lock_any<P>(caller: &Caller<P>, change: &mut Change, site: SiteRef) -> Result<SiteRecord, Problem> {
    let site = caller.site(site)?;
    change.tx.lock_site(site).await?.ok_or_else(Problem::not_found)
}

/// The site, which does not change until this change is over, if the caller's key is for it and it is not deleted. Changes
/// that only need it to be there do not wait for one another.
pub(crate) async fn hold<P>(
    caller: &Caller<P>,
    change: &mut Change,
    site: SiteRef,
) -> Result<SiteRecord, Problem> {
    let site = caller.site(site)?;
    undeleted(change.tx.hold_site(site).await?.ok_or_else(Problem::not_found)?)
}

/// A deleted site only waits to be restored or erased.
fn undeleted(site: SiteRecord) -> Result<SiteRecord, Problem> {
    if site.status == SiteStatus::Deleted { Err(Problem::site_deleted()) } else { Ok(site) }
}

/// Notes what has become of a site.
async fn note(
    change: &mut Change,
    action: &'static str,
    site: SiteId,
    before: Option<&SiteRecord>,
    after: &SiteRecord,
) -> Result<Site, Problem> {
    let (before, after) = (before.map(Site::of), Site::of(after));
    let target = after.id.to_string();
    let note =
        Note { site: Some(site), action, target: &target, before: before.as_ref(), after: Some(&after) };
    change.note(note).await?;
    Ok(after)
}

fn check_name(name: &str) -> Result<String, Problem> {
    let trimmed = name.trim();
    if trimmed.is_empty() || trimmed.len() > NAME_MAX || trimmed.contains(char::is_control) {
        let detail = format!("give a name of 1 to {NAME_MAX} octets without control characters");
        return Err(Problem::invalid("name", detail));
    }
    Ok(trimmed.to_owned())
}

fn check_domains(domains: &[String]) -> Result<Vec<String>, Problem> {
    if !(1..=DOMAINS_MAX).contains(&domains.len()) {
        return Err(Problem::invalid("domains", format!("give 1 to {DOMAINS_MAX} host names")));
    }
    let mut hosts = Vec::with_capacity(domains.len());
    for (index, domain) in domains.iter().enumerate() {
        let param = format!("domains[{index}]");
        let host = parse_host(domain).map_err(|error| Problem::invalid(param.clone(), error))?;
        if hosts.contains(&host) {
            return Err(Problem::invalid(param, "this host name is there twice"));
        }
        hosts.push(host);
    }
    Ok(hosts)
}

/// Words for people, of limited length.
pub(crate) fn check_text(param: &str, text: &str, max: usize) -> Result<String, Problem> {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.chars().count() > max {
        return Err(Problem::invalid(param, format!("give a text of 1 to {max} characters")));
    }
    Ok(trimmed.to_owned())
}
