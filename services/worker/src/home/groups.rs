//! GroupInvite and GroupEdit. Who may do what is decided in `tmtp_domain`; here it takes place.

use tmtp_contract::{Answer, Content, Digest};
use tmtp_domain::{
    Audience, GroupAct, GroupEdit, GroupStatus, Invitation, Membership, NameHolder, SiteId, Uid, group,
};
use tmtp_store::Change;

use super::decide::Call;
use super::posts::Payload;
use super::receipts::request_key;
use super::{Home, NodeKey, World};

impl Home {
    pub(super) fn group_invite(
        &mut self,
        call: Call,
        node: NodeKey,
        digest: Digest,
        [gid, from, to]: [String; 3],
        text: Payload,
        world: &mut World<'_>,
    ) {
        let key = request_key(node, &digest);
        if let Some(receipt) = self.receipts.get(&key, call.now) {
            return self.answer(call, Answer::Posted { msg_id: receipt.msg_id, posted: receipt.posted });
        }
        let place = (call.site, gid);
        let request = Invitation { gid: &place.1, from: &from, to: &to };
        let holder = |name: &str| world.holder(call.site, name);
        let invited = match group::invite(self.groups.get(&place), node.uid, request, holder) {
            Ok(invited) => invited,
            Err(refusal) => return self.refuse(call, &refusal),
        };
        let (_, gid) = place;
        if invited.founds {
            world.facts.take_name(call.site, &gid, NameHolder::Group);
            self.changes.push(Change::Group { site: call.site, gid: gid.clone() });
        }
        for (uid, place) in invited.changes {
            self.count_place(call.site, &gid, uid, &place, world);
            self.set_place(call.site, &gid, uid, place);
        }
        let audience = Audience::to_user(node.sender(), invited.invitee);
        let owed = self.owed(call.site, &audience);
        let content = Content::Invite { gid: gid.clone(), alias: from, to: to.clone() };
        let (msg_id, posted) = self.post_message(call, node, content, text, owed);
        let news = Content::Member { act: GroupAct::Invite, gid: gid.clone(), alias: to, new_alias: None };
        self.tell_group(call, node, &gid, news, None);
        self.remember_request(key, msg_id, posted);
        self.answer(call, Answer::Posted { msg_id, posted });
    }

    pub(super) fn group_edit(
        &mut self,
        call: Call,
        node: NodeKey,
        digest: Digest,
        gid: String,
        edit: &GroupEdit,
        world: &mut World<'_>,
    ) {
        let key = request_key(node, &digest);
        if self.receipts.get(&key, call.now).is_some() {
            return self.answer(call, Answer::Done);
        }
        let place = (call.site, gid);
        let holder = |name: &str| world.holder(call.site, name);
        let edited = match group::edit(self.groups.get(&place), &place.1, node.uid, edit, holder) {
            Ok(edited) => edited,
            Err(refusal) => return self.refuse(call, &refusal),
        };
        let (_, gid) = place;
        if let Some((uid, place)) = edited.change {
            self.count_place(call.site, &gid, uid, &place, world);
            self.set_place(call.site, &gid, uid, place);
        }
        let news = Content::Member {
            act: edited.act,
            gid: gid.clone(),
            alias: edited.alias,
            new_alias: edited.new_alias,
        };
        let (msg_id, posted) = self.tell_group(call, node, &gid, news, edited.also);
        self.remember_request(key, msg_id, posted);
        self.answer(call, Answer::Done);
    }

    /// Counts a member's groups on, as far as this batch asks for them: the rows do not know the place yet.
    fn count_place(&self, site: SiteId, gid: &str, uid: Uid, place: &Membership, world: &mut World<'_>) {
        let before = self.groups.get(&(site, gid.to_owned())).and_then(|group| group.get(uid));
        let had_joined = before.is_some_and(|place| place.status == GroupStatus::Joined);
        let count = world.facts.places.entry((site, uid)).or_default();
        match (had_joined, place.status == GroupStatus::Joined) {
            (false, true) => *count += 1,
            (true, false) => *count = count.saturating_sub(1),
            _ => {}
        }
    }

    pub(super) fn set_place(&mut self, site: SiteId, gid: &str, uid: Uid, place: Membership) {
        self.groups.entry((site, gid.to_owned())).or_default().set(uid, place.clone());
        self.changes.push(Change::Place { site, gid: gid.to_owned(), uid, place });
    }

    /// Tells those who belong to the group now, and the sender's other nodes.
    pub(super) fn tell_group(
        &mut self,
        call: Call,
        node: NodeKey,
        gid: &str,
        news: Content,
        also: Option<Uid>,
    ) -> (tmtp_domain::MsgId, tmtp_domain::Posted) {
        let group = self.groups.entry((call.site, gid.to_owned())).or_default();
        let audience = Audience::to_group(node.sender(), group, also);
        let owed = self.owed(call.site, &audience);
        self.post_message(call, node, news, Payload::empty(), owed)
    }
}
