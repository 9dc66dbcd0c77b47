//! Who belongs to a group, changed: members are looked up here, and the site's home does the rest.
//!
//! Whom a request was found to mean is kept with what came of it, so that the same request is answered alike when it comes
//! again, whoever has which alias by then.

use tmtp_contract::{AdminChange, AdminOutcome, AskedPlace, NewPlace};
use tmtp_domain::{NameHolder, Site, Uid};
use tmtp_store::{MemberFilter, Reader};

use super::{PlaceResult, Somebody};
use crate::api::Problem;
use crate::api::ask::{Done, Todo};
use crate::api::caller::Caller;
use crate::api::change::Stop;
use crate::api::payload::Sent;
use crate::api::uid::UidText;

/// What is to become of a group.
pub(super) struct Wanted<'a> {
    pub(super) gid: &'a str,
    /// It is to be made.
    pub(super) founds: bool,
    pub(super) add: &'a [Somebody],
    pub(super) drop: &'a [Somebody],
}

/// Whom a request means.
#[derive(Default)]
pub(super) struct Found {
    pub(super) add: Vec<NewPlace>,
    pub(super) drop: Vec<Uid>,
    /// Everybody of the request, in its order; `add` and then `drop` are those without a problem.
    pub(super) asked: Vec<AskedPlace>,
}

/// Has the site's home do it; those of whom nobody is found are left out there and have an error here.
pub(super) async fn place<P>(
    caller: &Caller<P>,
    site: &Site,
    sent: &Sent,
    wanted: &Wanted<'_>,
) -> Result<(Done, Vec<PlaceResult>), Stop> {
    let done = if let Some(done) = caller.replayed(sent).await? {
        done
    } else {
        let Found { add, drop, asked } = find(caller, site, wanted).await?;
        let change =
            AdminChange::Places { gid: wanted.gid.to_owned(), founds: wanted.founds, add, drop, asked };
        let action = if wanted.founds { "group.create" } else { "group.members" };
        caller.ask(site, sent, Todo { action, target: wanted.gid, change }).await?
    };
    let AdminOutcome::Places { refusals, asked } = &done.outcome else {
        return Err(Problem::internal().into());
    };
    let results = if asked.is_empty() {
        // A worker of the release before has not kept it.
        results(&find(caller, site, wanted).await?.asked, refusals)
    } else {
        results(asked, refusals)
    };
    Ok((done, results))
}

/// What would become of each: the home's own checks, but for whether the group has room.
pub(super) async fn try_out<P>(
    caller: &Caller<P>,
    site: &Site,
    wanted: &Wanted<'_>,
) -> Result<Vec<PlaceResult>, Problem> {
    let found = find(caller, site, wanted).await?;
    let names: Vec<_> = found.add.iter().map(|place| (site.id, place.alias.clone())).collect();
    let mut read = caller.read().await?;
    let holders = read.names(&names).await?;
    let known = read.places_of(site.id, wanted.gid, &found.drop).await?;
    let adds = found.add.iter().zip(&names).map(|(place, name)| {
        let is_own = holders.get(name) == Some(&NameHolder::Member(place.uid));
        (!is_own).then(|| "the alias is not the member's".to_owned())
    });
    let drops = found
        .drop
        .iter()
        .map(|uid| (!known.contains(uid)).then(|| "the group does not know the member".to_owned()));
    let refusals: Vec<Option<String>> = adds.chain(drops).collect();
    Ok(results(&found.asked, &refusals))
}

/// What became of each, in the order of the request.
pub(super) fn results(asked: &[AskedPlace], refusals: &[Option<String>]) -> Vec<PlaceResult> {
    let mut refusals = refusals.iter().cloned();
    let result = |asked: &AskedPlace| {
        let error = asked.problem.clone().or_else(|| refusals.next().flatten());
        PlaceResult { uid: asked.uid.map(UidText), ok: error.is_none(), error }
    };
    asked.iter().map(result).collect()
}

/// Looks everybody up whom a request means.
pub(super) async fn find<P>(caller: &Caller<P>, site: &Site, wanted: &Wanted<'_>) -> Result<Found, Problem> {
    let mut found = Found::default();
    let mut read = caller.read().await?;
    let adds = if wanted.founds { "members" } else { "add" };
    for (index, somebody) in wanted.add.iter().enumerate() {
        let place = resolve(&mut read, site, somebody, &format!("{adds}[{index}]")).await?;
        let problem = match &place {
            None => Some("there is no such member"),
            Some(place) if place.alias.is_empty() => Some("the member has no alias"),
            Some(_) => None,
        };
        found.asked.push(asked(place.as_ref(), problem));
        found.add.extend(place.filter(|_| problem.is_none()));
    }
    for (index, somebody) in wanted.drop.iter().enumerate() {
        let place = resolve(&mut read, site, somebody, &format!("drop[{index}]")).await?;
        let problem = place.is_none().then_some("there is no such member");
        found.asked.push(asked(place.as_ref(), problem));
        found.drop.extend(place.map(|place| place.uid));
    }
    if wanted.founds && found.add.is_empty() {
        return Err(Problem::invalid("members", "name at least one member that has an alias"));
    }
    Ok(found)
}

fn asked(place: Option<&NewPlace>, problem: Option<&str>) -> AskedPlace {
    AskedPlace { uid: place.map(|place| place.uid), problem: problem.map(str::to_owned) }
}

/// Who is meant, with the alias to be known by; that is empty if the member has none.
async fn resolve(
    read: &mut Reader,
    site: &Site,
    somebody: &Somebody,
    param: &str,
) -> Result<Option<NewPlace>, Problem> {
    let record = match (somebody.uid, &somebody.alias) {
        (None, None) => return Err(Problem::invalid(param, "give a uid or an alias")),
        (Some(uid), _) => read.member_record(site.id, uid.0).await?,
        (None, Some(alias)) => {
            let filter = MemberFilter { alias: Some(alias), ..MemberFilter::default() };
            read.member_records(site.id, filter, None, 1).await?.pop()
        }
    };
    Ok(record.map(|record| {
        let oldest = record.aliases.into_iter().next().unwrap_or_default();
        NewPlace { uid: record.uid, alias: somebody.alias.clone().unwrap_or(oldest) }
    }))
}
