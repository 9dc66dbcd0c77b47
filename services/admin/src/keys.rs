//! API keys: made, listed, shown and revoked. The key itself is told once.
//!
//! Nobody makes or revokes a key that can do more than its own: not more permissions, not more sites; nor makes one that
//! lives longer.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tmtp_domain::{KeyMode, KeySecret, Role, Scope, SiteId};
use tmtp_store::{ApiKey, NewApiKey, SiteKind};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::api::caller::{Caller, may};
use crate::api::change::{Answer, Change, Note, OnceParams, Shown};
use crate::api::id::{KeyRef, SiteRef};
use crate::api::openapi::{ChangeRefusals, Refusals};
use crate::api::page::{List, Listing, PageParams};
use crate::api::payload::{Payload, Place};
use crate::api::time::Time;
use crate::api::words::{RoleWord, ScopeWord, Word};
use crate::api::{Api, Problem};

/// Characters of a name.
const NAME_MAX: usize = 255;
/// Sites of one key.
const SITES_MAX: usize = 100;

/// The routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, revoke))
}

/// An API key, without the key itself.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Key {
    id: KeyRef,
    /// For people.
    name: String,
    /// What it is for.
    role: RoleWord,
    /// What it may do.
    scopes: Vec<ScopeWord>,
    /// Only at these sites; null for all.
    #[schema(required = true)]
    sites: Option<Vec<SiteRef>>,
    created_at: Time,
    /// When it ends by itself.
    #[schema(required = true)]
    expires_at: Option<Time>,
    /// When it was used last, to the minute.
    #[schema(required = true)]
    last_used_at: Option<Time>,
    /// When it was revoked.
    #[schema(required = true)]
    revoked_at: Option<Time>,
}

/// A key that has just been made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeKey {
    #[serde(flatten)]
    about: Key,
    /// The key itself. Keep it well: nobody can tell it again.
    #[schema(example = "tmk_live_…")]
    key: String,
}

/// A key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    /// For people.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// What it is for.
    role: RoleWord,
    /// Only these of the role's permissions; all of them when absent.
    #[schema(min_items = 1, max_items = 64)]
    scopes: Option<Vec<ScopeWord>>,
    /// Only at these sites. Required unless the role is `operator`.
    #[schema(min_items = 1, max_items = 100)]
    sites: Option<Vec<SiteRef>>,
    /// When it ends by itself; never when absent.
    expires_at: Option<Time>,
}

/// Which keys are wanted.
#[derive(Debug, Serialize, Deserialize, PartialEq, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyFilter {
    /// For this site.
    site: Option<SiteRef>,
}

impl Key {
    pub(crate) fn of(key: &ApiKey) -> Self {
        let scopes = Scope::ALL.into_iter().filter(|&scope| key.allows(scope)).map(Word).collect();
        Self {
            id: KeyRef::of(key.id),
            name: key.name.clone(),
            role: Word(key.role),
            scopes,
            sites: key.sites.as_ref().map(|sites| sites.iter().map(|&site| site.into()).collect()),
            created_at: Time(key.created_at),
            expires_at: key.expires_at.map(Time),
            last_used_at: key.last_used_at.map(Time),
            revoked_at: key.revoked_at.map(Time),
        }
    }
}

/// Make a key
///
/// The answer has the key itself, which is told once. A key cannot do more than the one it is made with.
#[utoipa::path(post, path = "/v1/keys", operation_id = "create_key", tag = "keys",
    security(("key" = ["keys:write"])), params(OnceParams), request_body = NewKey,
    responses((status = 201, description = "The key", body = MadeKey), ChangeRefusals))]
pub(crate) async fn create(caller: Caller<may::WriteKeys>, new: Payload<NewKey>) -> Answer {
    let (new, sent) = (new.value, new.sent);
    let mut change = caller.begin_post(&sent).await?;
    let new = check(&caller, new)?;
    let mode = mode(&mut change, new.sites.as_deref()).await?;
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|_| Problem::internal())?;
    let secret = KeySecret::new(mode, &random);
    let made = change.tx.create_key(&NewApiKey { hash: secret.hash(), ..new }).await?;
    let about = Key::of(&made);
    note(&mut change, "key.create", &made, None, Some(&about)).await?;
    change.answer(StatusCode::CREATED, &MadeKey { about, key: secret.reveal().to_owned() }).await
}

/// List keys
#[utoipa::path(get, path = "/v1/keys", operation_id = "list_keys", tag = "keys",
    security(("key" = ["keys:read"])), params(KeyFilter, PageParams),
    responses((status = 200, description = "Those that are for no other sites than one's own, the newest first",
               body = List<Key>), Refusals))]
pub(crate) async fn list(
    caller: Caller<may::ReadKeys>,
    listing: Listing<KeyFilter, KeyRef>,
) -> Shown<List<Key>> {
    let site = listing.filter.site.map(|site| caller.site(site)).transpose()?;
    let after = listing.after.map(|key| key.0);
    let rows = caller.read().await?.keys(caller.sites(), site, after, listing.fetch()).await?;
    Ok(Json(listing.page("/v1/keys", rows, |row| KeyRef::of(row.id), |row| Key::of(&row))))
}

/// Show a key
#[utoipa::path(get, path = "/v1/keys/{key}", operation_id = "get_key", tag = "keys",
    security(("key" = ["keys:read"])), params(("key" = KeyRef, Path, description = "The key's id")),
    responses((status = 200, description = "The key", body = Key), Refusals))]
pub(crate) async fn show(caller: Caller<may::ReadKeys>, Place(id): Place<KeyRef>) -> Shown<Key> {
    Ok(Json(Key::of(&find(&caller, id).await?)))
}

/// Revoke a key
///
/// It ends at once, and stays in the list as revoked. Revoking it again changes nothing. Nobody revokes a key that may do
/// more than their own.
#[utoipa::path(delete, path = "/v1/keys/{key}", operation_id = "revoke_key", tag = "keys",
    security(("key" = ["keys:write"])), params(("key" = KeyRef, Path, description = "The key's id")),
    responses((status = 204, description = "It is revoked"), ChangeRefusals))]
pub(crate) async fn revoke(caller: Caller<may::WriteKeys>, Place(id): Place<KeyRef>) -> Answer {
    let key = find(&caller, id).await?;
    if let Some(scope) = beyond(caller.key(), |scope| key.allows(scope)) {
        return Err(Problem::forbidden()
            .detail(format!(
                "The key has the scope {scope} and yours does not, so somebody with more rights has to revoke it."
            ))
            .into());
    }
    let before = Key::of(&key);
    let mut change = caller.begin().await?;
    if let Some(revoked) = change.tx.revoke_key(id.0).await? {
        note(&mut change, "key.revoke", &revoked, Some(&before), Some(&Key::of(&revoked))).await?;
    }
    change.done().await
}

/// The key, if the caller may know of it.
async fn find<P>(caller: &Caller<P>, id: KeyRef) -> Result<ApiKey, Problem> {
    let key = caller.read().await?.key(id.0).await?.ok_or_else(Problem::not_found)?;
    let is_within = match (caller.sites(), &key.sites) {
        (None, _) => true,
        (Some(own), Some(sites)) => sites.iter().all(|site| own.contains(site)),
        (Some(_), None) => false,
    };
    if is_within { Ok(key) } else { Err(Problem::not_found()) }
}

/// The key to be, still without its hash, if the caller may make it.
fn check<P>(caller: &Caller<P>, new: NewKey) -> Result<NewApiKey, Problem> {
    let own = caller.key();
    let name = name(&new.name)?;
    let role = new.role.0;
    let scopes = new.scopes.map(|scopes| scopes.into_iter().map(|scope| scope.0).collect::<Vec<_>>());
    for (index, &scope) in scopes.iter().flatten().enumerate() {
        if !role.allows(scope) {
            return Err(Problem::invalid(
                format!("scopes[{index}]"),
                format!("the role {role} has no {scope}"),
            ));
        }
    }
    if scopes.as_ref().is_some_and(Vec::is_empty) {
        return Err(Problem::invalid(
            "scopes",
            "give at least one scope, or leave it out for all of the role",
        ));
    }
    let wanted = |scope: &Scope| scopes.as_ref().map_or(role.allows(*scope), |scopes| scopes.contains(scope));
    if let Some(scope) = beyond(own, |scope| wanted(&scope)) {
        return Err(Problem::forbidden()
            .param("role")
            .detail(format!("Your own key does not have the scope {scope}, so it cannot give it away.")));
    }
    if own.expires_at.is_some_and(|end| new.expires_at.is_none_or(|at| at.0 > end)) {
        return Err(Problem::invalid("expires_at", "your own key ends: the new one must not live longer"));
    }
    if new.expires_at.is_some_and(|at| at <= Time::now()) {
        return Err(Problem::invalid("expires_at", "give a time in the future"));
    }
    let sites = sites(caller, role, new.sites)?;
    Ok(NewApiKey {
        id: Uuid::new_v4(),
        hash: [0; 32],
        name,
        role,
        scopes,
        sites,
        created_by: Some(own.id),
        expires_at: new.expires_at.map(|at| at.0),
    })
}

/// A permission that somebody wants to give or take, and does not have.
fn beyond(own: &ApiKey, wanted: impl Fn(Scope) -> bool) -> Option<Scope> {
    Scope::ALL.into_iter().find(|&scope| wanted(scope) && !own.allows(scope))
}

/// The sites of a key to be: among the caller's own.
fn sites<P>(
    caller: &Caller<P>,
    role: Role,
    sites: Option<Vec<SiteRef>>,
) -> Result<Option<Vec<SiteId>>, Problem> {
    let Some(sites) = sites else {
        return if role == Role::Operator && caller.sites().is_none() {
            Ok(None)
        } else {
            Err(Problem::invalid("sites", "name the sites that the key is for"))
        };
    };
    if !(1..=SITES_MAX).contains(&sites.len()) {
        return Err(Problem::invalid("sites", format!("name 1 to {SITES_MAX} sites")));
    }
    let mut ids = Vec::with_capacity(sites.len());
    for (index, &site) in sites.iter().enumerate() {
        let site = caller.site(site).map_err(|_| no_site(index))?;
        if !ids.contains(&site) {
            ids.push(site);
        }
    }
    Ok(Some(ids))
}

/// A key that reaches nothing but sandboxes is one for tests.
async fn mode(change: &mut Change, sites: Option<&[SiteId]>) -> Result<KeyMode, Problem> {
    let Some(sites) = sites else { return Ok(KeyMode::Live) };
    let found = change.tx.site_kinds(sites).await?;
    if let Some(index) = sites.iter().position(|site| found.iter().all(|(known, _)| known != site)) {
        return Err(no_site(index));
    }
    let only_sandboxes = found.iter().all(|(_, kind)| *kind == SiteKind::Sandbox);
    Ok(if only_sandboxes { KeyMode::Test } else { KeyMode::Live })
}

fn no_site(index: usize) -> Problem {
    Problem::invalid(format!("sites[{index}]"), "there is no such site")
}

fn name(name: &str) -> Result<String, Problem> {
    let trimmed = name.trim();
    if trimmed.is_empty() || trimmed.chars().count() > NAME_MAX || trimmed.contains(char::is_control) {
        let detail = format!("give a name of 1 to {NAME_MAX} characters without control characters");
        return Err(Problem::invalid("name", detail));
    }
    Ok(trimmed.to_owned())
}

/// Notes a change of a key, at each of its sites.
async fn note(
    change: &mut Change,
    action: &'static str,
    key: &ApiKey,
    before: Option<&Key>,
    after: Option<&Key>,
) -> Result<(), Problem> {
    let target = KeyRef::of(key.id).to_string();
    let sites: &[SiteId] = key.sites.as_deref().unwrap_or_default();
    // Each site sees who has got a key to it.
    let places: Vec<Option<SiteId>> =
        if sites.is_empty() { vec![None] } else { sites.iter().copied().map(Some).collect() };
    for site in places {
        change.note(Note { site, action, target: &target, before, after }).await?;
    }
    Ok(())
}
