//! What a batch needs beyond the home's own state: what it asks the database for, and what is found.

use std::collections::{HashMap, HashSet};

use tmtp_domain::{BodyId, Invite, InviteRef, KeyId, NameHolder, Site, SiteId, Uid};
use tmtp_store::{Looks, Settled, Subject};

use super::SessionKey;

/// What the rules have to know beyond the home's own state.
pub struct World<'w> {
    /// Sites, by id.
    pub sites: &'w HashMap<SiteId, Site>,
    /// What was loaded for this batch alone.
    pub facts: &'w mut Facts,
}

/// What is loaded for one batch and forgotten after it.
#[derive(Debug, Default)]
pub struct Facts {
    /// Names that the batch asks for, and whose they are.
    pub names: Names,
    /// Members whom a group knows by this alias.
    pub known: HashSet<(SiteId, Uid, String)>,
    /// Whose the names are that look like those that the batch is to make.
    pub looks: Looks,
    /// The oldest aliases of members, as far as the batch asks for them.
    pub aliases: HashMap<(SiteId, Uid), String>,
    /// To how many groups members belong.
    pub places: HashMap<(SiteId, Uid), u32>,
    /// Members (first) to whom another one (second) has written, or who are in a group with it.
    pub acquainted: HashSet<(SiteId, Uid, Uid)>,
    /// Whose the sessions are that the batch opens.
    pub opening: HashMap<SessionKey, Uid>,
    /// Requests of admins that were carried out before.
    pub settled: HashMap<(KeyId, String), Settled>,
    /// Invites that registrations name.
    pub invites: HashMap<(SiteId, InviteRef), Invite>,
    /// Sign-in tokens that were used before.
    pub used_tokens: HashSet<(SiteId, [u8; 32])>,
    /// People who have signed in and are members already.
    pub known_subjects: HashSet<(SiteId, Subject)>,
}

impl Facts {
    /// Adds what was loaded later.
    pub fn extend(&mut self, more: Self) {
        self.names.extend(more.names);
        self.known.extend(more.known);
        self.looks.extend(more.looks);
        self.aliases.extend(more.aliases);
        self.places.extend(more.places);
        self.acquainted.extend(more.acquainted);
        self.opening.extend(more.opening);
        self.settled.extend(more.settled);
        self.invites.extend(more.invites);
        self.used_tokens.extend(more.used_tokens);
        self.known_subjects.extend(more.known_subjects);
    }
}

/// Whose names are, as far as a batch asks for them.
pub type Names = HashMap<(SiteId, String), NameHolder>;

impl World<'_> {
    /// Whose a name is.
    pub(super) fn holder(&self, site: SiteId, name: &str) -> Option<NameHolder> {
        self.facts.names.get(&(site, name.to_owned())).copied()
    }
}

/// What a batch needs from the database before it can be decided.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Members.
    pub members: HashSet<(SiteId, Uid)>,
    /// Names.
    pub names: HashSet<(SiteId, String)>,
    /// What names look like.
    pub looks: HashSet<(SiteId, String)>,
    /// The oldest aliases of members.
    pub aliases: HashSet<(SiteId, Uid)>,
    /// To how many groups members belong.
    pub places: HashSet<(SiteId, Uid)>,
    /// What waits in rows for members.
    pub member_backlogs: HashSet<(SiteId, Uid)>,
    /// What waits in rows at sites.
    pub site_backlogs: HashSet<SiteId>,
    /// Whether another one (second) has written to a member (first), or is in a group with it.
    pub acquainted: HashSet<(SiteId, Uid, Uid)>,
    /// Groups.
    pub groups: HashSet<(SiteId, String)>,
    /// Sites.
    pub sites: HashSet<SiteId>,
    /// Stored bodies that messages are to refer to: were they removed?
    pub bodies: HashSet<(SiteId, BodyId)>,
    /// Does a group know the member by this alias?
    pub known: HashSet<(SiteId, Uid, String)>,
    /// Requests of admins: were they carried out before?
    pub settled: HashSet<(KeyId, String)>,
    /// Invites.
    pub invites: HashSet<(SiteId, InviteRef)>,
    /// Sign-in tokens: were they used before?
    pub tokens: HashSet<(SiteId, [u8; 32])>,
    /// People who have signed in: are they members already?
    pub subjects: HashSet<(SiteId, Subject)>,
}

impl Wanted {
    /// Leaves out what has been asked for before, and remembers the rest in `asked`. False when nothing is left.
    pub fn leave_out(&mut self, asked: &mut Self) -> bool {
        self.members.retain(|key| asked.members.insert(*key));
        self.names.retain(|key| asked.names.insert(key.clone()));
        self.looks.retain(|key| asked.looks.insert(key.clone()));
        self.aliases.retain(|key| asked.aliases.insert(*key));
        self.places.retain(|key| asked.places.insert(*key));
        self.member_backlogs.retain(|key| asked.member_backlogs.insert(*key));
        self.site_backlogs.retain(|key| asked.site_backlogs.insert(*key));
        self.acquainted.retain(|key| asked.acquainted.insert(*key));
        self.groups.retain(|key| asked.groups.insert(key.clone()));
        self.sites.retain(|key| asked.sites.insert(*key));
        self.bodies.retain(|key| asked.bodies.insert(*key));
        self.known.retain(|key| asked.known.insert(key.clone()));
        self.settled.retain(|key| asked.settled.insert(key.clone()));
        self.invites.retain(|key| asked.invites.insert(*key));
        self.tokens.retain(|key| asked.tokens.insert(*key));
        self.subjects.retain(|key| asked.subjects.insert(key.clone()));
        !(self.members.is_empty()
            && self.names.is_empty()
            && self.looks.is_empty()
            && self.aliases.is_empty()
            && self.places.is_empty()
            && self.acquainted.is_empty()
            && self.member_backlogs.is_empty()
            && self.site_backlogs.is_empty()
            && self.groups.is_empty()
            && self.sites.is_empty()
            && self.bodies.is_empty()
            && self.known.is_empty()
            && self.settled.is_empty()
            && self.invites.is_empty()
            && self.tokens.is_empty()
            && self.subjects.is_empty())
    }
}
