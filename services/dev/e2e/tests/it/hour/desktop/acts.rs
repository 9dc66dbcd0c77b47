//! The things that people do at their devices, each with what it means for the books.

use std::collections::HashSet;

use tmtp_wire::{DataInfo, Recipient, Request};

use super::super::books::{Books, Post};
use super::{Asked, Desktop, Means};

/// Devices of a user, at most.
const DEVICES: usize = 3;

impl Desktop {
    /// Does one of the things that people do.
    pub(super) fn act(&mut self) {
        match self.rng.u32(..100) {
            0..30 => {
                let users = self.some_users();
                self.write(users, None, None);
            }
            30..55 => self.reply(),
            55..70 => {
                let group = self.rng.usize(..self.story.groups.len());
                self.write(Vec::new(), Some(group), None);
            }
            70..78 => self.forward(),
            78..86 => self.ping(),
            86..90 => self.leave(),
            90..93 => self.drop_and_invite(),
            93..97 => self.show_for_a_moment(),
            97 => {
                let alias = format!("Another name {}-{}", self.node, self.requests);
                let id = self.id("l");
                let news = self.announce(&format!("user alias {alias}"), Vec::new(), None);
                let request = Request::UserEdit { id, new_node: None, new_alias: Some(alias) };
                self.ask(request, Vec::new(), Means::News(news));
            }
            _ => self.new_device(),
        }
    }

    fn some_users(&mut self) -> Vec<usize> {
        let count = self.rng.usize(1..4);
        let users: HashSet<usize> = (0..count).map(|_| self.rng.usize(..self.story.users.len())).collect();
        users.into_iter().filter(|user| *user != self.user).collect()
    }

    fn write(&mut self, users: Vec<usize>, group: Option<usize>, answers: Option<usize>) {
        let mut recipients: Vec<Recipient> = users.iter().map(|user| self.story.recipient(*user)).collect();
        recipients.extend(group.map(|group| Recipient { id: self.story.groups[group].0.clone(), kind: 3 }));
        let post = self.note_post(users, group, None, answers);
        let data = self.text(post);
        let id = self.id("t");
        let info = DataInfo { len: data.len() as u64, ..DataInfo::default() };
        self.ask(Request::Post { id, recipients, data: info }, data, Means::Post(post));
    }

    fn note_post(
        &self,
        users: Vec<usize>,
        group: Option<usize>,
        notes: Option<Vec<usize>>,
        answers: Option<usize>,
    ) -> usize {
        let author = self.node;
        self.story.books(|books| {
            let span = books.now();
            books.write(Post { author, span, refused: false, users, group, notes, answers })
        })
    }

    /// The number of a post, and something to read: now and then a lot.
    fn text(&mut self, post: usize) -> Vec<u8> {
        let len = if self.rng.u32(..40) == 0 { 300_000 } else { self.rng.usize(..400) };
        format!("{post} {}", "words ".repeat(len / 6)).into_bytes()
    }

    fn reply(&mut self) {
        let Some(place) = self.inbox.len().checked_sub(1) else { return };
        let original = self.inbox[self.rng.usize(place.saturating_sub(4)..=place)];
        let (mut users, group, author) = self.story.books(|books| {
            let post = books.post(original);
            (post.users.clone(), post.group, post.author)
        });
        let author = self.story.books(|books| books.user_of(author));
        if !users.contains(&author) {
            users.push(author);
        }
        users.retain(|user| *user != self.user);
        self.write(users, group, Some(original));
    }

    fn forward(&mut self) {
        let users = self.some_users();
        let recipients = users.iter().map(|user| self.story.recipient(*user)).collect();
        let noted = self.some_users();
        let note_recipients = noted.iter().map(|user| self.story.recipient(*user)).collect();
        let post = self.note_post(users, None, Some(noted), None);
        let body = self.text(post);
        let note = b"to whom it concerns";
        let data = [&note[..], &body].concat();
        let request = Request::PostNotify {
            id: self.id("f"),
            recipients,
            note_recipients,
            for_not_self: false,
            data: DataInfo { len: data.len() as u64, ..DataInfo::default() },
            note: DataInfo { len: note.len() as u64, ..DataInfo::default() },
        };
        self.ask(request, data, Means::Post(post));
    }

    fn ping(&mut self) {
        let to = self.rng.usize(..self.story.users.len());
        if to == self.user {
            return;
        }
        let post = self.note_post(vec![to], None, None, None);
        let data = format!("{post} ping").into_bytes();
        let request = Request::Ping {
            id: self.id("p"),
            from: self.story.users[self.user].1.clone(),
            to: self.story.users[to].1.clone(),
            data: DataInfo { len: data.len() as u64, ..DataInfo::default() },
        };
        self.ask(request, data, Means::Post(post));
    }

    fn edit_group(&mut self, group: usize, act: &str, of: usize, joined: bool) {
        let number = self.story.books(|books| books.change(group, of, joined));
        let (gid, alias) = (&self.story.groups[group].0, &self.story.users[of].1);
        let news = self.announce(&format!("member {gid} {act} {alias}"), vec![of], Some(group));
        let request = Request::GroupEdit {
            id: self.id("g"),
            act: act.to_owned(),
            gid: self.story.groups[group].0.clone(),
            to: (act == "drop").then(|| self.story.users[of].1.clone()),
            new_alias: None,
        };
        self.ask(request, Vec::new(), Means::Change { group, user: of, number, news });
    }

    pub(super) fn join(&mut self, group: usize) {
        self.edit_group(group, "join", self.user, true);
    }

    /// Leaves a group, and comes back.
    fn leave(&mut self) {
        let group = self.rng.usize(..self.story.groups.len());
        if self.story.groups[group].1 != self.user {
            self.edit_group(group, "drop", self.user, false);
            self.join(group);
        }
    }

    /// The founder throws somebody out, and is sorry for it.
    fn drop_and_invite(&mut self) {
        let Some(group) = self.story.groups.iter().position(|(_, founder)| *founder == self.user) else {
            return;
        };
        let other = self.rng.usize(..self.story.users.len());
        if other == self.user {
            return;
        }
        self.edit_group(group, "drop", other, false);
        let (gid, alias) = (self.story.groups[group].0.clone(), self.story.users[other].1.clone());
        let news = self.announce(&format!("member {gid} invite {alias}"), Vec::new(), Some(group));
        let post = self.note_post(vec![other], None, None, None);
        let data = format!("{post} sorry").into_bytes();
        let request = Request::GroupInvite {
            id: self.id("i"),
            gid,
            from: self.story.users[self.user].1.clone(),
            to: alias,
            data: DataInfo { len: data.len() as u64, ..DataInfo::default() },
        };
        // Who has come back in between is joined already: a refusal that changes nothing.
        let number = self.story.books(|books| books.change(group, other, false));
        self.ask(request, data, Means::Invite { group, user: other, number, news, post });
    }

    fn show_for_a_moment(&mut self) {
        let contacts = self.story.contacts(self.user);
        let Some(other) =
            (0..self.story.users.len()).find(|user| *user != self.user && !contacts.contains(user))
        else {
            return;
        };
        for kind in ["add", "drop"] {
            let id = self.id("o");
            // Passed on as it is, so that the message can be told from others.
            let mark = i8::try_from(self.requests % 100).unwrap_or_default();
            let recipients = vec![Recipient { kind: mark, ..self.story.recipient(other) }];
            let news = self.announce(&format!("ohiedit {kind} {mark}"), Vec::new(), None);
            let request = Request::OhiEdit { id, recipients, kind: kind.to_owned() };
            self.ask(request, Vec::new(), Means::News(news));
        }
    }

    fn new_device(&mut self) {
        if self.asked.is_some() || self.story.books(|books| books.devices(self.user)) >= DEVICES {
            return;
        }
        let began = self.story.books(Books::tick);
        let id = self.id("n");
        let label = format!("device {} of {}", self.requests, self.node);
        let news = self.announce(&format!("user node {label}"), Vec::new(), None);
        let request = Request::UserEdit { id, new_node: Some(label.clone()), new_alias: None };
        self.asked = Some(Asked { began, label, node_id: None });
        self.ask(request, Vec::new(), Means::Device(news));
    }
}
