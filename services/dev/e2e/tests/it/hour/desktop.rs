//! A client as people use it: one request at a time, sent again when no ack comes; messages stored, then acked, in the
//! order in which they come; a pause after every end that it has not caused. Only its times are shorter. What is asked
//! for is in `acts`.

mod acts;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tmtp_client::{Account, Client, Connect};
use tmtp_wire::{Recipient, Request, Response, UserChange, headsum_holds};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::books::Books;

/// A real one waits for 15 s.
const RESEND_AFTER: Duration = Duration::from_secs(4);
/// A real one waits for two minutes.
const AFTER_CLOSE: Duration = Duration::from_secs(2);
/// A real one waits for 4 s, then for longer.
const AFTER_FAILURE: Duration = Duration::from_millis(500);
/// For a connection to be made, and for a login to be answered.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two things that a person does, in milliseconds.
const THINKS: std::ops::Range<u64> = 200..900;

/// How far the story is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// People use their clients.
    Busy,
    /// They only wait for what is under way.
    Drains,
    /// They leave.
    Over,
}

/// What all clients share.
pub struct Story {
    pub gateways: Vec<Connect>,
    /// By user: uid and alias.
    pub users: Vec<(String, String)>,
    /// Names and founders of the groups.
    pub groups: Vec<(String, usize)>,
    pub books: Mutex<Books>,
    pub phase: watch::Receiver<Phase>,
    /// Devices that come to life.
    pub born: mpsc::UnboundedSender<Desktop>,
}

impl Story {
    pub fn books<R>(&self, act: impl FnOnce(&mut Books) -> R) -> R {
        act(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// To whom a user shows presence all the time.
    pub fn contacts(&self, user: usize) -> Vec<usize> {
        (0..self.users.len())
            .filter(|other| *other != user && (user * 5 + other * 3).is_multiple_of(4))
            .collect()
    }

    fn recipient(&self, user: usize) -> Recipient {
        Recipient { id: self.users[user].0.clone(), kind: 1 }
    }
}

/// One device of a user.
pub struct Desktop {
    story: Arc<Story>,
    user: usize,
    node: usize,
    account: Account,
    rng: Rng,
    /// Requests to be sent, the first of them perhaps under way.
    queue: VecDeque<Ask>,
    /// When the first was sent on this link.
    sent: Option<Instant>,
    requests: u64,
    links: u64,
    /// Posts that came, to be answered.
    inbox: Vec<usize>,
    /// A device that it has asked for.
    asked: Option<Asked>,
}

/// A device that was asked for.
struct Asked {
    began: u64,
    label: String,
    /// Once it has come.
    node_id: Option<String>,
}

/// A request, and what its success means for the books.
struct Ask {
    request: Request,
    data: Vec<u8>,
    means: Means,
    /// The link over which it was last sent.
    link: Option<u64>,
}

enum Means {
    News(usize),
    Post(usize),
    /// A change of somebody's standing in a group, of which its members are told.
    Change {
        group: usize,
        user: usize,
        number: usize,
        news: usize,
    },
    /// The same, with the text of the invitation.
    Invite {
        group: usize,
        user: usize,
        number: usize,
        news: usize,
        post: usize,
    },
    Device(usize),
}

/// Why a link ended.
enum End {
    /// The client logged out.
    Quit,
    /// The client just went.
    Left,
    Lost,
    Over,
}

impl Desktop {
    pub fn new(story: &Arc<Story>, user: usize, node: usize, account: Account, seed: u64) -> Self {
        Self {
            story: Arc::clone(story),
            user,
            node,
            account,
            rng: Rng::with_seed(seed),
            queue: VecDeque::new(),
            sent: None,
            requests: 0,
            links: 0,
            inbox: Vec::new(),
            asked: None,
        }
    }

    /// Lives until the story is over.
    pub async fn live(mut self) {
        loop {
            let Some(client) = self.log_in().await else {
                if *self.story.phase.borrow() == Phase::Over {
                    return;
                }
                sleep(AFTER_FAILURE).await;
                continue;
            };
            self.sent = None;
            match self.serve(client).await {
                End::Over => return,
                End::Lost => sleep(AFTER_CLOSE).await,
                End::Quit | End::Left => sleep(Duration::from_millis(self.rng.u64(0..3_000))).await,
            }
        }
    }

    async fn log_in(&mut self) -> Option<Client> {
        let gateway = self.rng.usize(..self.story.gateways.len());
        let connect = self.story.gateways[gateway].clone();
        let mut client = timeout(PATIENCE, Client::connect(&connect)).await.ok()?.ok()?;
        let (uid, node) = (self.account.uid.clone(), self.account.node_id.clone());
        let words = format!("login {uid}");
        let news = self.story.books(|books| books.announce(words, self.node, Vec::new(), None));
        let login = async {
            client.send(&Request::TmtpRev { id: "1".to_owned() }, b"").await.ok()?;
            client.send(&Request::Login { uid, node }, b"").await.ok()?;
            loop {
                match client.next().await.ok()??.response {
                    Response::TmtpRev { .. } => {}
                    Response::Info { ohi, .. } => {
                        return Some(Some(ohi.into_iter().map(std::borrow::Cow::into_owned).collect()));
                    }
                    Response::Quit { .. } => return Some(None),
                    _ => return None,
                }
            }
        };
        let answer = timeout(PATIENCE, login).await.ok().flatten();
        self.story.books(|books| match &answer {
            Some(online) => books.announced(news, online.is_none()),
            None => books.doubted(news),
        });
        let online = answer??;
        self.story.books(|books| books.linked(self.node, online));
        let contacts =
            self.story.contacts(self.user).into_iter().map(|user| self.story.recipient(user)).collect();
        let init =
            Request::OhiEdit { id: "first_ohi".to_owned(), recipients: contacts, kind: "init".to_owned() };
        client.send(&init, b"").await.ok()?;
        self.links += 1;
        Some(client)
    }

    async fn serve(&mut self, mut client: Client) -> End {
        let mut phase = self.story.phase.clone();
        let mut acked = HashSet::new();
        let leaves = Instant::now() + Duration::from_secs(self.rng.u64(4..25));
        let mut acts = Instant::now() + self.pause();
        loop {
            let now = *phase.borrow();
            if now == Phase::Over {
                let _ = timeout(PATIENCE, client.quit()).await;
                return End::Over;
            }
            let sends = self.sent.map_or(Instant::now(), |sent| sent + RESEND_AFTER);
            tokio::select! {
                _ = phase.changed() => {}
                frame = client.next() => {
                    let Ok(Some(frame)) = frame else { return End::Lost };
                    let Some(std) = frame.response.std() else {
                        if !self.take(&frame.response) {
                            return End::Lost;
                        }
                        continue;
                    };
                    let id = std.id.clone().into_owned();
                    self.store(&frame);
                    if client.ack(&id).await.is_err() {
                        return End::Lost;
                    }
                    acked.insert(id);
                }
                () = sleep_until(sends), if !self.queue.is_empty() => {
                    let ask = &mut self.queue[0];
                    let before = ask.link.replace(self.links);
                    if let Means::News(news) = ask.means
                        && before.is_some_and(|link| link != self.links)
                    {
                        self.story.books(|books| books.announce_again(news));
                    }
                    if self.sent.is_some() {
                        self.story.books(|books| books.resent += 1);
                    }
                    if client.send(&ask.request, &ask.data).await.is_err() {
                        return End::Lost;
                    }
                    self.sent = Some(Instant::now());
                }
                () = sleep_until(acts), if now == Phase::Busy => {
                    acts = Instant::now() + self.pause();
                    if self.queue.len() < 3 {
                        self.act();
                    }
                }
                () = sleep_until(leaves), if now == Phase::Busy => {
                    if self.rng.bool() {
                        return End::Left;
                    }
                    if self.queue.is_empty() && matches!(timeout(PATIENCE, client.quit()).await, Ok(Ok(()))) {
                        self.story.books(|books| books.settled(self.node, acked));
                        return End::Quit;
                    }
                    return End::Left;
                }
            }
        }
    }

    fn pause(&mut self) -> Duration {
        Duration::from_millis(self.rng.u64(THINKS))
    }

    /// Takes in what is not a message. False: the link is over.
    fn take(&mut self, response: &Response<'_>) -> bool {
        match response {
            Response::Ack { id, error, receipt }
                if self.queue.front().is_some_and(|ask| name(&ask.request) == *id) =>
            {
                let msg_id = receipt.as_ref().map(|(msg_id, _)| msg_id.clone().into_owned());
                self.answered(error.as_deref(), msg_id);
            }
            Response::Ohi { from, status } => {
                self.story.books(|books| books.seen(self.node, from, *status == 1));
            }
            Response::Quit { .. } => return false,
            _ => {}
        }
        true
    }

    fn answered(&mut self, error: Option<&str>, msg_id: Option<String>) {
        let Some(ask) = self.queue.pop_front() else { return };
        self.sent = None;
        let refused = error.is_some();
        self.story.books(|books| {
            books.open -= 1;
            books.answered += 1;
            match ask.means {
                Means::Post(post) => {
                    // Only groups may have changed in a way that a client did not know.
                    if refused && books.post(post).group.is_none() {
                        books.errors.push(format!("{:?} was refused: {error:?}", ask.request));
                    }
                    books.posted(post, refused);
                    if let Some(msg_id) = msg_id {
                        books.identify(post, &msg_id);
                    }
                }
                Means::Change { group, user, number, news } => {
                    books.changed(group, user, number, refused);
                    books.announced(news, refused);
                }
                Means::Invite { group, user, number, news, post } => {
                    books.changed(group, user, number, refused);
                    books.announced(news, refused);
                    books.posted(post, refused);
                    if let Some(msg_id) = msg_id {
                        books.identify(post, &msg_id);
                    }
                }
                Means::News(news) | Means::Device(news) => {
                    if refused {
                        books.errors.push(format!("{:?} was refused: {error:?}", ask.request));
                    }
                    books.announced(news, refused);
                }
            }
        });
        if matches!(ask.means, Means::Device(_)) {
            self.bear();
        }
    }

    /// Stores a message.
    fn store(&mut self, frame: &tmtp_client::Frame) {
        let Some(std) = frame.response.std() else { return };
        let (from, id) = (std.from.clone().into_owned(), std.id.clone().into_owned());
        let post = str::from_utf8(&frame.data).ok().and_then(number);
        let urgent = matches!(frame.response, Response::User { .. });
        let (node, link) = (self.node, self.links);
        self.story.books(|books| {
            if !headsum_holds(&frame.raw) {
                books.errors.push(format!("the headsum of {id} is wrong"));
            }
            // Body and note of a forward are two messages of one post.
            let post = post.filter(|_| !matches!(frame.response, Response::Notify { .. }));
            if books.got(node, link, &from, &id, post, urgent) {
                if let Response::Notify { post_id, .. } = &frame.response {
                    books.noted(node, post_id.clone().into_owned());
                } else if let Some(words) = words(&frame.response) {
                    books.told(node, words);
                }
            }
        });
        match &frame.response {
            Response::User { change: UserChange::Node { label, node_id }, .. } => {
                if let Some(asked) = self.asked.as_mut().filter(|asked| asked.label == **label) {
                    asked.node_id = Some(node_id.clone().into_owned());
                    self.bear();
                }
            }
            Response::Invite { gid, .. } if from != self.account.uid => {
                if let Some(group) = self.story.groups.iter().position(|(name, _)| *name == **gid) {
                    self.join(group);
                }
            }
            Response::Delivery { .. } => self.inbox.extend(post),
            _ => {}
        }
    }

    /// Asks for something that the server tells this user's devices, and perhaps others.
    fn announce(&self, words: &str, users: Vec<usize>, group: Option<usize>) -> usize {
        let (kind, rest) = words.split_once(' ').unwrap_or((words, ""));
        let words = format!("{kind} {} {rest}", self.account.uid);
        self.story.books(|books| books.announce(words, self.node, users, group))
    }

    /// The new device comes to life when its node id and the ack have come.
    fn bear(&mut self) {
        let waits = self.queue.iter().any(|ask| matches!(ask.means, Means::Device(_)));
        let Some(Asked { began, node_id: Some(node_id), .. }) =
            self.asked.take_if(|asked| !waits && asked.node_id.is_some())
        else {
            return;
        };
        let node = self.story.books(|books| books.node(self.user, began));
        let account = Account { node_id, ..self.account.clone() };
        let seed = self.rng.u64(..);
        // Nobody listens when the story is over.
        let _ = self.story.born.send(Self::new(&self.story, self.user, node, account, seed));
    }

    /// Puts a request in line.
    fn ask(&mut self, request: Request, data: Vec<u8>, means: Means) {
        self.story.books(|books| books.open += 1);
        self.queue.push_back(Ask { request, data, means, link: None });
    }

    fn id(&mut self, prefix: &str) -> String {
        self.requests += 1;
        format!("{prefix}\0{}_{:012x}", self.node, self.requests)
    }
}

/// The number that a text begins with.
fn number(text: &str) -> Option<usize> {
    text.split(' ').next().and_then(|word| word.parse().ok())
}

/// What makes a message of the server's own recognisable.
fn words(response: &Response<'_>) -> Option<String> {
    let from = &response.std()?.from;
    Some(match response {
        Response::Login { .. } => format!("login {from}"),
        Response::User { change: UserChange::Alias(alias), .. } => format!("user {from} alias {alias}"),
        Response::User { change: UserChange::Node { label, .. }, .. } => format!("user {from} node {label}"),
        Response::OhiEdit { recipients, kind, .. } => {
            let marks: Vec<String> = recipients.iter().map(|item| item.kind.to_string()).collect();
            format!("ohiedit {from} {kind} {}", marks.join(" "))
        }
        Response::Member { act, gid, alias, .. } => format!("member {from} {gid} {act} {alias}"),
        _ => return None,
    })
}

/// The name of a request.
fn name(request: &Request) -> &str {
    match request {
        Request::UserEdit { id, .. }
        | Request::OhiEdit { id, .. }
        | Request::GroupInvite { id, .. }
        | Request::GroupEdit { id, .. }
        | Request::Post { id, .. }
        | Request::PostNotify { id, .. }
        | Request::Ping { id, .. } => id,
        _ => "",
    }
}
