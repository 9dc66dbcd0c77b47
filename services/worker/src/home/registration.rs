//! Registration: who comes in is decided in `tmtp_domain`; here it takes place. A repeated command finds its user, and
//! changes nothing.

use std::collections::HashMap;

use tmtp_contract::{Answer, Command, Credentials, Envelope, LoginRefusal, NewPlace};
use tmtp_domain::policy::Recent;
use tmtp_domain::{
    Invite, Member, MemberFlags, MemberStatus, NameHolder, Node, NodeNum, Refusal, RegistrationRefusal,
    SecretHash, SiteId, SiteStatus, Ticket, Uid, admit,
};
use tmtp_store::{Change, Joining};

use super::decide::Call;
use super::{Facts, Home, NodeKey, Wanted, World};

/// The number of a user's first node.
const FIRST: NodeNum = NodeNum(1);
/// Codes of invites that do not exist: so many may come to a site within ten minutes, from wherever. A code has 60
/// random bits, so this only has to see to it that nobody tries millions.
const GUESSES_MAX: u32 = 600;
/// Nanoseconds in which they are counted.
const GUESSES_WITHIN: u64 = 600_000_000_000;
/// Nanoseconds for which no code is looked at after more.
const BLOCKED_FOR: u64 = 60_000_000_000;

/// What a registration asks for.
pub(super) struct Registering {
    pub uid: Uid,
    pub secret: SecretHash,
    pub label: String,
    pub alias: Option<String>,
    pub credentials: Credentials,
}

/// How often codes of invites were guessed lately, by site.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    sites: HashMap<SiteId, Guessed>,
}

#[derive(Debug, Default)]
struct Guessed {
    recent: Recent,
    blocked_until: u64,
}

impl Guesses {
    fn are_blocked(&self, site: SiteId, now: u64) -> bool {
        self.sites.get(&site).is_some_and(|guessed| now < guessed.blocked_until)
    }

    /// A code did not exist.
    fn failed(&mut self, site: SiteId, now: u64) {
        self.sites
            .retain(|_, guessed| !guessed.recent.forget(now, GUESSES_WITHIN) || now < guessed.blocked_until);
        let guessed = self.sites.entry(site).or_default();
        if !guessed.recent.take((), now, GUESSES_MAX, GUESSES_WITHIN) {
            guessed.blocked_until = now + BLOCKED_FOR;
        }
    }
}

/// Adds to `wanted` what the credentials of a registration lead to, and returns the invite, once it is loaded.
pub(super) fn wants<'f>(envelope: &Envelope, facts: &'f Facts, wanted: &mut Wanted) -> Option<&'f Invite> {
    let Command::Register { credentials: Some(credentials), .. } = &envelope.command else { return None };
    let site = envelope.site;
    if let Some(identity) = &credentials.identity {
        wanted.tokens.insert((site, identity.token_digest));
        wanted.subjects.insert((site, (identity.issuer.clone(), identity.subject.clone())));
    }
    let by = credentials.invite()?;
    wanted.invites.insert((site, by));
    facts.invites.get(&(site, by))
}

/// The names that a registration asks for, is given, or leads to.
pub(super) fn names<'n>(
    alias: Option<&'n str>,
    credentials: Option<&'n Credentials>,
    invite: Option<&'n Invite>,
) -> Vec<&'n str> {
    let identity = credentials.and_then(|credentials| credentials.identity.as_ref());
    let given = [
        identity.and_then(|identity| identity.alias.as_deref()),
        invite.and_then(|invite| invite.alias.as_deref()),
    ];
    let groups = invite.into_iter().flat_map(|invite| &invite.groups).map(String::as_str);
    alias.into_iter().chain(given.into_iter().flatten()).chain(groups).collect()
}

/// The invite that a registration names, if there is one.
fn invite_of<'w>(site: SiteId, asked: &Registering, world: &'w World<'_>) -> Option<&'w Invite> {
    world.facts.invites.get(&(site, asked.credentials.invite()?))
}

impl Home {
    pub(super) fn register(&mut self, call: Call, asked: Registering, world: &mut World<'_>) {
        let (site, uid) = (call.site, asked.uid);
        let known = self.members.get(&(site, uid));
        let repeated = known.filter(|member| member.node_by_secret(&asked.secret) == Some(FIRST));
        let admitted = match repeated.map(|member| member.status) {
            Some(status) => {
                let alias = wanted_alias(&asked, invite_of(site, &asked, world));
                Ok((status, alias.and_then(|alias| self.take_alias(site, uid, &alias, world))))
            }
            None => self.join(call, &asked, world),
        };
        match admitted {
            Err(refusal) => self.answer(call, Answer::NotLoggedIn(refusal)),
            Ok((MemberStatus::Active, alias_error)) => {
                self.start_session(call, NodeKey { site, uid, node: FIRST }, 0);
                self.answer(call, Answer::Registered { node: FIRST, alias_error });
            }
            Ok((MemberStatus::Pending, alias_error)) => self.answer(call, Answer::Waiting { alias_error }),
            // Suspended between its registration and the repetition of it.
            Ok(_) => self.answer(call, Answer::NotLoggedIn(LoginRefusal::Failed)),
        }
    }

    /// Makes the user, if it may come in. Says what it is now, and why it did not get the alias it wanted.
    fn join(
        &mut self,
        call: Call,
        asked: &Registering,
        world: &mut World<'_>,
    ) -> Result<(MemberStatus, Option<String>), LoginRefusal> {
        let (site, uid) = (call.site, asked.uid);
        let (status, invite) = self.may_join(call, asked, world)?;
        let before = self.changes.len();
        let alias = wanted_alias(asked, invite.as_ref());
        let alias_error = alias.as_ref().and_then(|alias| self.take_alias(site, uid, alias, world));
        let named = alias.filter(|_| alias_error.is_none()).map(WantedAlias::into_text);
        let groups = invite.as_ref().map_or(&[][..], |invite| &invite.groups);
        if !groups.is_empty() && named.is_none() {
            return Err(LoginRefusal::Alias);
        }
        let Registering { secret, label, .. } = asked;
        let nodes = vec![Node { num: FIRST, secret: *secret }];
        self.members.insert(
            (site, uid),
            Member { uid, status, nodes, revoked: Vec::new(), flags: MemberFlags::default(), notice: None },
        );
        let node = Change::Node { site, uid, num: FIRST, secret: *secret, label: label.clone() };
        self.changes.splice(before..before, [Change::Member { site, uid }, node]);
        if status != MemberStatus::Active {
            self.changes.push(Change::MemberStatus { site, uid, status });
        }
        self.use_up(call, asked, invite.as_ref(), status, world);
        // Whoever waits is put into the groups when an admin has approved.
        if let (MemberStatus::Active, Some(alias)) = (status, named) {
            for gid in groups {
                self.enter_group(call, gid, &NewPlace { uid, alias: alias.clone() }, world);
            }
        }
        Ok((status, alias_error))
    }

    /// Whether the user may come in, as what, and with which invite.
    fn may_join(
        &mut self,
        call: Call,
        asked: &Registering,
        world: &World<'_>,
    ) -> Result<(MemberStatus, Option<Invite>), LoginRefusal> {
        let place = world.sites.get(&call.site).filter(|site| site.status == SiteStatus::Active);
        let place = place.ok_or(LoginRefusal::RegistrationClosed)?;
        let Credentials { identity, code, from } = &asked.credentials;
        if code.is_some() && self.guesses.are_blocked(place.id, call.now.nanos) {
            return Err(LoginRefusal::Invite);
        }
        let invite = invite_of(place.id, asked, world);
        if let Some(identity) = identity {
            if world.facts.used_tokens.contains(&(place.id, identity.token_digest)) {
                return Err(LoginRefusal::RegistrationClosed);
            }
            let subject = (identity.issuer.clone(), identity.subject.clone());
            if world.facts.known_subjects.contains(&(place.id, subject)) {
                return Err(LoginRefusal::AlreadyMember);
            }
        }
        let ticket = match asked.credentials.invite() {
            Some(_) => Ticket::Invite(invite),
            None if identity.is_some() => Ticket::SignIn,
            None => Ticket::None,
        };
        let admitted = admit(place.registration, ticket, call.now.millis());
        if admitted == Err(RegistrationRefusal::Invite) && code.is_some() && invite.is_none() {
            self.guesses.failed(place.id, call.now.nanos);
            self.changes.push(Change::CodeGuessed { site: place.id, from: *from });
        }
        match admitted {
            Ok(status) => Ok((status, invite.cloned())),
            Err(RegistrationRefusal::Invite) => Err(LoginRefusal::Invite),
            Err(RegistrationRefusal::Closed | RegistrationRefusal::SignInNeeded) => {
                Err(LoginRefusal::RegistrationClosed)
            }
        }
    }

    /// Gives the user the alias, or says why not. One that an admin has chosen need not please the policy; one of a sign-in
    /// is what the person calls itself there, and has to.
    fn take_alias(
        &mut self,
        site: SiteId,
        uid: Uid,
        alias: &WantedAlias,
        world: &mut World<'_>,
    ) -> Option<String> {
        match alias {
            WantedAlias::Given(alias) => self.claim_alias(site, uid, alias, world).err().map(said),
            WantedAlias::Claimed(alias) => {
                let refused = self.choose_alias(site, uid, alias, world).err();
                refused.map(|refusal| format!("alias {alias} of your sign-in is not taken: {refusal}"))
            }
            WantedAlias::Asked(alias) => self.choose_alias(site, uid, alias, world).err().map(said),
        }
    }

    /// Writes down that the invite and the token are used, for the rest of this batch, too.
    fn use_up(
        &mut self,
        call: Call,
        asked: &Registering,
        invite: Option<&Invite>,
        status: MemberStatus,
        world: &mut World<'_>,
    ) {
        let (site, credentials) = (call.site, &asked.credentials);
        if credentials.identity.is_none() && invite.is_none() {
            return;
        }
        let waits = status == MemberStatus::Pending;
        if let Some(invite) = invite {
            for ((place, _), other) in &mut world.facts.invites {
                if *place == site && other.usage.id == invite.usage.id {
                    other.usage.uses_pending += i32::from(waits);
                    other.usage.uses_completed += i32::from(!waits);
                }
            }
        }
        if let Some(identity) = &credentials.identity {
            world.facts.used_tokens.insert((site, identity.token_digest));
            world.facts.known_subjects.insert((site, (identity.issuer.clone(), identity.subject.clone())));
        }
        self.changes.push(Change::Joined(Box::new(Joining {
            site,
            uid: asked.uid,
            invite: invite.map(|invite| (invite.usage.id, waits)),
            identity: credentials.identity.clone(),
            from: credentials.from,
        })));
    }

    /// Puts a new member into a group of its invite. The group is made, if there is none of this name; a name that is
    /// somebody's alias by now, and a group that is full, let nobody in. True if the member is in it.
    pub(super) fn enter_group(
        &mut self,
        call: Call,
        gid: &str,
        place: &NewPlace,
        world: &mut World<'_>,
    ) -> bool {
        let entered = match world.holder(call.site, gid) {
            Some(NameHolder::Group) => Ok(()),
            _ => self.found_group(call.site, gid, world).map_err(|refused| refused.text),
        };
        let entered = entered.and_then(|()| self.add_place(call, gid, place, world).map_err(str::to_owned));
        if let Err(reason) = &entered {
            tracing::warn!(site.id = %call.site, reason, "an invite leads into a group that takes nobody");
        }
        entered.is_ok()
    }
}

/// The text of a refusal.
fn said(refusal: Refusal) -> String {
    refusal.to_string()
}

/// An alias that a new user is to have.
enum WantedAlias {
    /// The invite says so: an admin has chosen it.
    Given(String),
    /// The sign-in says so, whatever the client asks for.
    Claimed(String),
    /// The client asks for it.
    Asked(String),
}

impl WantedAlias {
    fn into_text(self) -> String {
        match self {
            Self::Given(text) | Self::Claimed(text) | Self::Asked(text) => text,
        }
    }
}

/// The alias that the invite gives, or the sign-in, or that the client asks for.
fn wanted_alias(asked: &Registering, invite: Option<&Invite>) -> Option<WantedAlias> {
    let signed_in = asked.credentials.identity.as_ref();
    let given = invite.and_then(|invite| invite.alias.clone());
    given
        .map(WantedAlias::Given)
        .or_else(|| signed_in.and_then(|identity| identity.alias.clone()).map(WantedAlias::Claimed))
        .or_else(|| asked.alias.clone().map(WantedAlias::Asked))
}
