//! What admins set of single groups and members.

use serde_json::{Value, json};
use tmtp_contract::{AdminOutcome, SetAway};
use tmtp_domain::{GroupRule, MemberFlags, NameHolder, POSTERS_MAX, SiteId, Uid};
use tmtp_store::{Change, PolicyChange};

use super::super::{Home, World};
use super::{Changed, Refused};

impl Home {
    pub(super) fn rule_group(
        &mut self,
        site: SiteId,
        gid: &str,
        rule: &GroupRule,
        world: &World<'_>,
    ) -> Result<Changed, Refused> {
        if world.holder(site, gid) != Some(NameHolder::Group) {
            return Err(Refused::not_found("there is no such group"));
        }
        if rule.posters.len() > POSTERS_MAX {
            return Err(Refused::invalid(format!("a group has at most {POSTERS_MAX} posters")));
        }
        if let Some(uid) = rule.posters.iter().find(|uid| !self.members.contains_key(&(site, **uid))) {
            return Err(Refused::invalid(format!("there is no member {uid}")));
        }
        let group = self.groups.entry((site, gid.to_owned())).or_default();
        let before = shown_rule(group.rule());
        group.set_rule(rule.clone());
        let change = PolicyChange::GroupRule { site, gid: gid.to_owned(), rule: rule.clone() };
        self.changes.push(Change::Policy(change));
        Ok(Changed::new(AdminOutcome::Changed).before(&before).after(&shown_rule(rule)))
    }

    pub(super) fn flag_member(
        &mut self,
        site: SiteId,
        uid: Uid,
        receive_only: Option<bool>,
        away: Option<&SetAway>,
    ) -> Result<Changed, Refused> {
        if let Some(SetAway::Away { away }) = away
            && let Some(delegate) = away.delegate
        {
            if delegate == uid {
                return Err(Refused::invalid("a member cannot be its own delegate"));
            }
            if !self.members.contains_key(&(site, delegate)) {
                return Err(Refused::invalid("the delegate is no member"));
            }
        }
        let member = self.members.get_mut(&(site, uid)).ok_or_else(Refused::no_member)?;
        let before = shown_flags(&member.flags);
        member.flags.receive_only = receive_only.unwrap_or(member.flags.receive_only);
        match away {
            Some(SetAway::Away { away }) => member.flags.away = Some(away.clone()),
            Some(SetAway::Back) => member.flags.away = None,
            None => {}
        }
        let flags = member.flags.clone();
        let after = shown_flags(&flags);
        self.changes.push(Change::Policy(PolicyChange::MemberFlags { site, uid, flags }));
        Ok(Changed::new(AdminOutcome::Changed).before(&before).after(&after))
    }
}

/// For the audit log.
fn shown_rule(rule: &GroupRule) -> Value {
    let posters: Vec<String> = rule.posters.iter().map(Uid::to_string).collect();
    json!({ "mode": rule.mode, "posters": posters })
}

/// The same of a member. What it has others told is its own matter.
fn shown_flags(flags: &MemberFlags) -> Value {
    let away = flags
        .away
        .as_ref()
        .map(|away| json!({ "until_ms": away.until, "delegate": away.delegate.map(|uid| uid.to_string()) }));
    json!({ "receive_only": flags.receive_only, "away": away })
}
