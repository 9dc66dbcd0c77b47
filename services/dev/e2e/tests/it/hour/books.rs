//! What everybody has sent and got, in the order in which it happened, and whether it adds up. Something that happens
//! while something else is under way may count before it or behind it; the books know what is certain and what is not.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::news::News;

/// When something was asked for, and when its success was known. What lies between is open.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub began: u64,
    pub ended: Option<u64>,
}

impl Span {
    pub fn is_over_before(&self, tick: u64) -> bool {
        self.ended.is_some_and(|ended| ended < tick)
    }

    fn meets(&self, other: &Self) -> bool {
        !self.is_over_before(other.began) && !other.is_over_before(self.began)
    }
}

/// A message that somebody wrote.
#[derive(Debug, Clone)]
pub struct Post {
    pub author: usize,
    pub span: Span,
    pub refused: bool,
    pub users: Vec<usize>,
    pub group: Option<usize>,
    /// Who gets a note about it besides, if it is forwarded.
    pub notes: Option<Vec<usize>>,
    /// The message that it answers, and that its author had got.
    pub answers: Option<usize>,
}

/// A change of somebody's standing in a group.
#[derive(Debug, Clone)]
pub struct Change {
    pub span: Span,
    pub refused: bool,
    pub joined: bool,
}

/// A device.
#[derive(Debug)]
pub struct Node {
    pub user: usize,
    pub born: Span,
    /// How often it was told what the server tells by itself.
    pub told: HashMap<String, u64>,
    /// When notes came, by the message that they are about.
    notes: HashMap<String, u64>,
    got: Vec<Got>,
    /// By message id: on which of its links it came last.
    links: HashMap<String, u64>,
    /// When its link began.
    since: u64,
    /// Whom it believes to be online.
    online: HashSet<String>,
    /// Acked on links that ended in good order.
    settled: HashSet<String>,
    /// By sender: the highest id so far.
    last: HashMap<String, String>,
    repeats: u64,
}

/// A message that came, the first time.
#[derive(Debug)]
struct Got {
    tick: u64,
    /// When the link began on which it came.
    since: u64,
    post: Option<usize>,
}

/// Whether a device is to get a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Must,
    May,
    Never,
}

/// The books.
#[derive(Debug, Default)]
pub struct Books {
    tick: u64,
    nodes: Vec<Node>,
    posts: Vec<Post>,
    /// By group and user.
    changes: BTreeMap<(usize, usize), Vec<Change>>,
    /// Message ids, by post.
    ids: HashMap<usize, String>,
    pub(super) news: Vec<News>,
    /// What was wrong at once.
    pub errors: Vec<String>,
    /// Requests that are not answered.
    pub open: usize,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that were sent again.
    pub resent: u64,
}

impl Books {
    pub fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    pub fn now(&mut self) -> Span {
        Span { began: self.tick(), ended: None }
    }

    /// A new device; gives its number.
    pub fn node(&mut self, user: usize, began: u64) -> usize {
        let born = Span { began, ended: Some(self.tick()) };
        self.nodes.push(Node {
            user,
            born,
            told: HashMap::new(),
            notes: HashMap::new(),
            got: Vec::new(),
            links: HashMap::new(),
            since: 0,
            online: HashSet::new(),
            settled: HashSet::new(),
            last: HashMap::new(),
            repeats: 0,
        });
        self.nodes.len() - 1
    }

    /// How many devices a user has.
    pub fn devices(&self, user: usize) -> usize {
        self.nodes.iter().filter(|node| node.user == user).count()
    }

    /// Whose device this is.
    pub fn user_of(&self, node: usize) -> usize {
        self.nodes[node].user
    }

    pub fn write(&mut self, post: Post) -> usize {
        self.posts.push(post);
        self.posts.len() - 1
    }

    pub fn posted(&mut self, post: usize, refused: bool) {
        let tick = self.tick();
        self.posts[post].span.ended = Some(tick);
        self.posts[post].refused = refused;
    }

    pub fn post(&self, number: usize) -> &Post {
        &self.posts[number]
    }

    pub fn change(&mut self, group: usize, user: usize, joined: bool) -> usize {
        let span = self.now();
        let changes = self.changes.entry((group, user)).or_default();
        changes.push(Change { span, refused: false, joined });
        changes.len() - 1
    }

    pub fn changed(&mut self, group: usize, user: usize, number: usize, refused: bool) {
        let tick = self.tick();
        if let Some(change) = self.changes.get_mut(&(group, user)).and_then(|changes| changes.get_mut(number))
        {
            change.span.ended = Some(tick);
            change.refused = refused;
        }
    }

    /// A device is on a new link, and is told who is online.
    pub fn linked(&mut self, node: usize, online: HashSet<String>) {
        self.nodes[node].since = self.tick();
        self.nodes[node].online = online;
    }

    /// Somebody is online, or is not. That has to be news.
    pub fn seen(&mut self, node: usize, uid: &str, online: bool) {
        let seen = &mut self.nodes[node].online;
        let is_news = if online { seen.insert(uid.to_owned()) } else { seen.remove(uid) };
        if !is_news {
            self.errors.push(format!("node {node} is told what it knows: {uid} is online: {online}"));
        }
    }

    /// How many devices there are.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// A device.
    pub fn node_of(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// A post is this message.
    pub fn identify(&mut self, post: usize, id: &str) {
        let known = self.ids.entry(post).or_insert_with(|| id.to_owned());
        if known != id {
            self.errors.push(format!("post {post} is message {known}, and {id}"));
        }
    }

    /// Devices that believe something else about who is online than this.
    pub fn mistaken(&self, online: impl Fn(usize) -> HashSet<String>) -> Vec<String> {
        let mistaken = |(number, node): (usize, &Node)| {
            let expected = online(node.user);
            (node.online != expected).then(|| {
                format!("node {number} of user {} believes in {:?}, not {expected:?}", node.user, node.online)
            })
        };
        self.nodes.iter().enumerate().filter_map(mistaken).collect()
    }

    /// A message came. `urgent` ones go before others.
    /// True if it is the first time.
    pub fn got(
        &mut self,
        node: usize,
        link: u64,
        from: &str,
        id: &str,
        post: Option<usize>,
        urgent: bool,
    ) -> bool {
        let tick = self.tick();
        if let Some(post) = post {
            self.identify(post, id);
        }
        let book = &mut self.nodes[node];
        if book.settled.contains(id) {
            self.errors.push(format!("node {node} got {id} again although it had acked it"));
        }
        match book.links.insert(id.to_owned(), link) {
            Some(before) if before == link => {
                self.errors.push(format!("node {node} got {id} twice on one link"));
                false
            }
            Some(_) => {
                book.repeats += 1;
                false
            }
            None => {
                book.got.push(Got { tick, since: book.since, post });
                if !urgent
                    && let Some(last) = book.last.insert(from.to_owned(), id.to_owned())
                    && *last > *id
                {
                    self.errors.push(format!("node {node} got {id} of {from} behind {last}"));
                }
                true
            }
        }
    }

    /// A device was told something.
    pub fn told(&mut self, node: usize, words: String) {
        *self.nodes[node].told.entry(words).or_default() += 1;
    }

    /// A device got a note about a message.
    pub fn noted(&mut self, node: usize, about: String) {
        let tick = self.tick();
        if self.nodes[node].notes.insert(about.clone(), tick).is_some() {
            self.errors.push(format!("node {node} got two notes about {about}"));
        }
    }

    /// A link has ended in good order: the server has taken all acks.
    pub fn settled(&mut self, node: usize, ids: HashSet<String>) {
        self.nodes[node].settled.extend(ids);
    }

    /// Whether a user was in a group while a post was made.
    pub fn was_joined(&self, group: usize, user: usize, span: Span) -> Due {
        let changes: Vec<&Change> =
            self.changes.get(&(group, user)).into_iter().flatten().filter(|change| !change.refused).collect();
        let before: Vec<&&Change> =
            changes.iter().filter(|change| change.span.is_over_before(span.began)).collect();
        let Some(last) = before.iter().max_by_key(|change| change.span.ended) else {
            let open = changes.iter().any(|change| change.span.meets(&span));
            return if open { Due::May } else { Due::Never };
        };
        let unclear = |change: &&&Change| {
            change.joined != last.joined && (change.span.meets(&span) || change.span.meets(&last.span))
        };
        if changes.iter().any(|change| unclear(&change)) {
            Due::May
        } else if last.joined {
            Due::Must
        } else {
            Due::Never
        }
    }

    fn due(&self, number: usize, post: &Post) -> Due {
        let node = &self.nodes[number];
        if post.refused || number == post.author {
            return Due::Never;
        }
        let own = self.nodes[post.author].user == node.user;
        let user = if own || post.users.contains(&node.user) {
            Due::Must
        } else {
            post.group.map_or(Due::Never, |group| self.was_joined(group, node.user, post.span))
        };
        // A device that was made meanwhile or later gets what another was owed still.
        match user {
            Due::Must if !node.born.is_over_before(post.span.began) => Due::May,
            other => other,
        }
    }

    /// Whether a device is to get the note of a forwarded message.
    fn note_due(&self, number: usize, post: &Post) -> Due {
        let user = self.nodes[number].user;
        let noted = post.notes.as_ref().is_some_and(|notes| notes.contains(&user));
        match self.due(number, post) {
            _ if post.notes.is_none() || post.refused || number == post.author => Due::Never,
            Due::Never if noted && !self.nodes[number].born.is_over_before(post.span.began) => Due::May,
            Due::Never if noted => Due::Must,
            due => due,
        }
    }

    /// Notes that are missing, that nobody should have got, or that came before the message itself.
    fn wrong_notes(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let mut known = 0;
            for (place, post) in self.posts.iter().enumerate() {
                let noted = self.ids.get(&place).and_then(|id| node.notes.get(id));
                known += usize::from(noted.is_some());
                let got = node.got.iter().find(|got| got.post == Some(place)).map(|got| got.tick);
                let is_early = self.due(number, post) == Due::Must && noted < got.as_ref();
                match (self.note_due(number, post), noted) {
                    (Due::Must, None) => {
                        wrong.push(format!("node {number} has no note of post {place}: {post:?}"));
                    }
                    (Due::Never, Some(_)) => {
                        wrong.push(format!("node {number} has a note of post {place}: {post:?}"));
                    }
                    (_, Some(_)) if is_early => {
                        wrong.push(format!("node {number} got the note before post {place}"));
                    }
                    _ => {}
                }
            }
            if known < node.notes.len() {
                wrong.push(format!("node {number} has {} notes of unknown posts", node.notes.len() - known));
            }
        }
        wrong
    }

    /// What somebody should have and has not got yet, and what somebody has got and should not.
    pub fn differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        for (place, post) in self.posts.iter().enumerate() {
            for number in 0..self.nodes.len() {
                let got = self.nodes[number].got.iter().any(|got| got.post == Some(place));
                match (self.due(number, post), got) {
                    (Due::Must, false) => {
                        differences.push(format!("node {number} has not got post {place}: {post:?}"));
                    }
                    (Due::Never, true) => {
                        differences.push(format!("node {number} got post {place}: {post:?}"));
                    }
                    _ => {}
                }
            }
        }
        differences.extend(self.wrong_notes());
        differences
    }

    /// Answers that came before what they answer.
    pub fn overtakings(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            for (place, got) in node.got.iter().enumerate() {
                let Some(original) = got.post.and_then(|post| self.posts[post].answers) else { continue };
                let post = &self.posts[original];
                // An ack that was lost with its link comes again when the request does.
                let asked_there = post.author == number && post.span.began > got.since;
                if asked_there && !post.span.is_over_before(got.tick) {
                    wrong.push(format!("node {number} got an answer to post {original} before its ack"));
                }
                let earlier = node.got[..place].iter().any(|got| got.post == Some(original));
                if self.due(number, post) == Due::Must && !earlier {
                    wrong.push(format!(
                        "node {number} got an answer to post {original} before that: {post:?}"
                    ));
                }
            }
        }
        wrong
    }

    /// How much happened, for the log.
    pub fn summary(&self) -> String {
        let got: usize = self.nodes.iter().map(|node| node.got.len()).sum();
        let repeats: u64 = self.nodes.iter().map(|node| node.repeats).sum();
        format!(
            "{} devices, {} requests answered ({} posts), {} sent again, {got} messages got, {repeats} of them again",
            self.nodes.len(),
            self.answered,
            self.posts.len(),
            self.resent
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ann (0) with nodes 0 and 1, Ben (1) with node 2; Ann has posted to Ben, Ben has answered.
    fn story() -> Books {
        let mut books = Books::default();
        for user in [0, 0, 1] {
            let began = books.tick();
            books.node(user, began);
        }
        for (author, users, answers) in [(0, vec![1], None), (2, vec![0], Some(0))] {
            let span = books.now();
            let post =
                books.write(Post { author, span, refused: false, users, group: None, notes: None, answers });
            books.posted(post, false);
        }
        books
    }

    /// Goal: what is lost, doubled, out of order, or overtaken is found, and nothing else; method: one story that is
    /// right, and the same with one thing wrong.
    #[test]
    fn books_find_what_is_wrong() {
        let right = [(1, "a", 0), (2, "a", 0), (0, "b", 1), (1, "b", 1)];
        let play = |events: &[(usize, &str, usize)]| {
            let mut books = story();
            for (node, id, post) in events {
                let from = if *post == 0 { "Ann" } else { "Ben" };
                books.got(*node, 1, from, id, Some(*post), false);
            }
            (books.errors.len(), books.differences().len(), books.overtakings().len())
        };
        assert_eq!(play(&right), (0, 0, 0));
        assert_eq!(play(&right[1..]), (0, 1, 1), "lost, and so its answer came too early");
        assert_eq!(play(&[&right[..], &right[..1]].concat()), (1, 0, 0), "twice on a link");
        assert_eq!(play(&[&right[..], &[(2, "c", 0)]].concat()).0, 1, "one post, two messages");
        assert_eq!(play(&[&right[..], &[(2, "b", 1)]].concat()), (0, 1, 0), "a copy for the sending node");
        assert_eq!(play(&[right[1], right[2], right[3], right[0]]), (0, 0, 1), "an answer overtakes");
        let mut books = story();
        books.got(2, 1, "Ann", "b", None, false);
        books.got(2, 1, "Ann", "a", None, false);
        assert_eq!(books.errors.len(), 1, "out of order");
        books.settled(2, HashSet::from(["b".to_owned()]));
        books.got(2, 2, "Ann", "b", None, false);
        assert_eq!(books.errors.len(), 2, "again although acked");
    }

    /// Goal: who is to get a message of a group is known where it can be known; method: a post before, within and behind
    /// a change.
    #[test]
    fn members_while_a_post_is_made() {
        let mut books = story();
        let post = |books: &mut Books| Post {
            author: 0,
            span: books.now(),
            refused: false,
            users: vec![],
            group: Some(0),
            notes: None,
            answers: None,
        };
        let mut before = post(&mut books);
        before.span.ended = Some(books.tick());
        let change = books.change(0, 1, true);
        let mut within = post(&mut books);
        within.span.ended = Some(books.tick());
        books.changed(0, 1, change, false);
        let mut behind = post(&mut books);
        behind.span.ended = Some(books.tick());
        let due = [&before, &within, &behind].map(|post| books.due(2, post));
        assert_eq!(due, [Due::Never, Due::May, Due::Must]);
    }
}
