//! Who belongs to a group, changed: members are looked up here, and the site's home does the rest.
//!
//! Whom a request was found to mean is kept with what came of it, so that the same request is answered alike when it comes
//! again, whoever has which alias by then.

use std::collections::{HashMap, HashSet};

use tmtp_contract::{AdminChange, AdminOutcome, AskedPlace, NewPlace};
use tmtp_domain::{NameHolder, Site, SiteId, Uid};
use tmtp_store::Reader;

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
struct Found {
    add: Vec<NewPlace>,
    drop: Vec<Uid>,
    /// Everybody of the request, in its order; `add` and then `drop` are those without a problem.
    asked: Vec<AskedPlace>,
}

/// What is so about whom a request names.
struct Known {
    site: SiteId,
    /// Whose the aliases are.
    holders: HashMap<(SiteId, String), NameHolder>,
    members: HashSet<Uid>,
    /// The oldest aliases.
    oldest: HashMap<Uid, String>,
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
        let Found { add, drop, asked } = find(&mut caller.read().await?, site, wanted).await?;
        let change =
            AdminChange::Places { gid: wanted.gid.to_owned(), founds: wanted.founds, add, drop, asked };
        let action = if wanted.founds { "group.create" } else { "group.members" };
        caller.ask_new(site, sent, Todo { action, target: wanted.gid, change }).await?
    };
    let AdminOutcome::Places { refusals, asked } = &done.outcome else {
        return Err(Problem::internal().into());
    };
    let results = if asked.is_empty() {
        // A worker of the release before has not kept it.
        results(&find(&mut caller.read().await?, site, wanted).await?.asked, refusals)
    } else {
        results(asked, refusals)
    };
    Ok((done, results))
}

/// What would become of each: the home's own checks, but for whether the group has room.
pub(super) async fn try_out(
    read: &mut Reader,
    site: &Site,
    wanted: &Wanted<'_>,
) -> Result<Vec<PlaceResult>, Problem> {
    let found = find(read, site, wanted).await?;
    let names: Vec<_> = found.add.iter().map(|place| (site.id, place.alias.clone())).collect();
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
fn results(asked: &[AskedPlace], refusals: &[Option<String>]) -> Vec<PlaceResult> {
    let mut refusals = refusals.iter().cloned();
    let result = |asked: &AskedPlace| {
        let error = asked.problem.clone().or_else(|| refusals.next().flatten());
        PlaceResult { uid: asked.uid.map(UidText), ok: error.is_none(), error }
    };
    asked.iter().map(result).collect()
}

/// Looks everybody up whom a request means.
async fn find(read: &mut Reader, site: &Site, wanted: &Wanted<'_>) -> Result<Found, Problem> {
    let adds = if wanted.founds { "members" } else { "add" };
    for (list, param) in [(wanted.add, adds), (wanted.drop, "drop")] {
        let unnamed = list.iter().position(|somebody| somebody.uid.is_none() && somebody.alias.is_none());
        if let Some(index) = unnamed {
            return Err(Problem::invalid(format!("{param}[{index}]"), "give a uid or an alias"));
        }
    }
    let known = Known::read(read, site.id, wanted).await?;
    let mut found = Found::default();
    for somebody in wanted.add {
        let place = known.place(somebody);
        let problem = match &place {
            None => Some("there is no such member"),
            Some(place) if place.alias.is_empty() => Some("the member has no alias"),
            Some(_) => None,
        };
        found.asked.push(asked(place.as_ref(), problem));
        found.add.extend(place.filter(|_| problem.is_none()));
    }
    for somebody in wanted.drop {
        let place = known.place(somebody);
        let problem = place.is_none().then_some("there is no such member");
        found.asked.push(asked(place.as_ref(), problem));
        found.drop.extend(place.map(|place| place.uid));
    }
    if wanted.founds && found.add.is_empty() {
        return Err(Problem::invalid("members", "name at least one member that has an alias"));
    }
    Ok(found)
}

impl Known {
    async fn read(read: &mut Reader, site: SiteId, wanted: &Wanted<'_>) -> Result<Self, Problem> {
        let everybody = || wanted.add.iter().chain(wanted.drop);
        let aliases: Vec<(SiteId, String)> =
            everybody().filter_map(|somebody| Some((site, somebody.alias.clone()?))).collect();
        let uids: Vec<Uid> = everybody().filter_map(|somebody| Some(somebody.uid?.0)).collect();
        Ok(Self {
            site,
            holders: read.names(&aliases).await?,
            members: read.members_among(site, &uids).await?.into_iter().collect(),
            oldest: read.oldest_aliases(site, &uids).await?,
        })
    }

    /// Who is meant, with the alias to be known by; that is empty if the member has none.
    fn place(&self, somebody: &Somebody) -> Option<NewPlace> {
        if let Some(UidText(uid)) = somebody.uid {
            let oldest = || self.oldest.get(&uid).cloned().unwrap_or_default();
            let alias = somebody.alias.clone().unwrap_or_else(oldest);
            return self.members.contains(&uid).then_some(NewPlace { uid, alias });
        }
        let alias = somebody.alias.clone()?;
        match self.holders.get(&(self.site, alias.clone()))? {
            NameHolder::Member(uid) => Some(NewPlace { uid: *uid, alias }),
            NameHolder::Group | NameHolder::Reserved => None,
        }
    }
}

fn asked(place: Option<&NewPlace>, problem: Option<&str>) -> AskedPlace {
    AskedPlace { uid: place.map(|place| place.uid), problem: problem.map(str::to_owned) }
}
