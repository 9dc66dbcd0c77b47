//! The server under test and the people of a case: each case makes its own, so that cases do not meet. Every second user
//! is at the second address, if there is one. It must never use a name twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tmtp_client::Connect;

use super::audit::Audit;
use super::link::{Fault, Link, Receipt, Result, fault, fresh};

/// The server under test.
#[derive(Clone)]
pub(super) struct World {
    first: Connect,
    second: Connect,
    audit: Arc<Audit>,
    /// How long to wait for what has to come.
    pub(super) patience: Duration,
    /// Different in every run, so that names of an earlier one do not matter.
    run: Arc<str>,
}

/// A user, at one of its nodes.
pub(super) struct User {
    pub(super) uid: String,
    pub(super) node: String,
    pub(super) alias: String,
    /// True at the second address.
    second: bool,
    pub(super) link: Link,
}

/// Revision and so on, as clients say it first.
pub(super) const HELLO: &str = r#"{"Id":"1","Op":0}"#;

impl World {
    pub(super) fn new(
        first: Connect,
        second: Option<Connect>,
        audit: Arc<Audit>,
        patience: Duration,
        run: &str,
    ) -> Self {
        let second = second.unwrap_or_else(|| first.clone());
        Self { first, second, audit, patience, run: run.into() }
    }

    /// A name that nobody has.
    pub(super) fn name(&self, word: &str) -> String {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        format!("{word} {}-{}", self.run, NUMBERS.fetch_add(1, Ordering::Relaxed))
    }

    /// What was found in all frames so far.
    pub(super) fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Where the server is, for cases below TLS.
    pub(super) fn address(&self) -> std::net::SocketAddr {
        self.first.address
    }

    /// A link on which nothing was said.
    pub(super) async fn link(&self) -> Result<Link> {
        self.link_at(false).await
    }

    async fn link_at(&self, second: bool) -> Result<Link> {
        let connect = if second { &self.second } else { &self.first };
        match tokio::time::timeout(self.patience, connect.dial()).await {
            Ok(Ok(stream)) => Ok(Link::new(stream, Arc::clone(&self.audit), self.patience)),
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                fault(format!("{error}{}", cause.unwrap_or_default()))
            }
            Err(_) => fault("no TLS handshake in time"),
        }
    }

    /// A link that is greeted.
    pub(super) async fn greeted(&self) -> Result<Link> {
        let mut link = self.link().await?;
        link.send_text(HELLO, b"").await;
        link.answer("tmtprev").await?;
        Ok(link)
    }

    /// A new user with an alias.
    pub(super) async fn user(&self) -> Result<User> {
        self.user_at(false).await
    }

    async fn user_at(&self, second: bool) -> Result<User> {
        let alias = self.name("User");
        let mut link = self.link_at(second).await?;
        link.send_text(HELLO, b"").await;
        link.send(json!({"op": 1, "newnode": "conform", "newalias": alias}), b"").await;
        link.answer("tmtprev").await?;
        let registered = link.answer("registered").await?;
        if let Some(error) = registered.get("error") {
            return fault(format!("alias {alias} was refused: {error}"));
        }
        link.answer("info").await?;
        let text = |name: &str| registered.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (uid, node) = (text("uid"), text("nodeid"));
        link.uid.clone_from(&uid);
        Ok(User { uid, node, alias, second, link })
    }

    /// New users, every second of them at the second address.
    pub(super) async fn users<const N: usize>(&self) -> Result<[User; N]> {
        let mut users = Vec::with_capacity(N);
        for place in 0..N {
            users.push(self.user_at(place % 2 == 1).await?);
        }
        users.try_into().map_err(|_| Fault("as many users as asked for".to_owned()))
    }

    /// A link on which a node has asked to log in; nothing was read yet.
    pub(super) async fn knock(&self, uid: &str, node: &str, second: bool) -> Result<Link> {
        let mut link = self.link_at(second).await?;
        link.uid = uid.to_owned();
        link.send_text(HELLO, b"").await;
        link.send(json!({"op": 2, "uid": uid, "node": node}), b"").await;
        link.answer("tmtprev").await?;
        Ok(link)
    }

    /// Logs a node in; what waits for it comes next.
    pub(super) async fn login(&self, uid: &str, node: &str, second: bool) -> Result<Link> {
        let mut link = self.knock(uid, node, second).await?;
        link.answer("info").await?;
        Ok(link)
    }

    /// Logs a node in whose link has ended without a quit: the server may need time to notice.
    pub(super) async fn login_again(&self, uid: &str, node: &str, second: bool) -> Result<(Link, Value)> {
        let give_up = tokio::time::Instant::now() + self.patience;
        loop {
            let mut link = self.knock(uid, node, second).await?;
            match link.answer("info").await {
                Ok(info) => return Ok((link, Value::Object(info))),
                Err(fault) if tokio::time::Instant::now() > give_up => return Err(fault),
                Err(Fault(why)) if why.contains("node already connected") => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(fault) => return Err(fault),
            }
        }
    }
}

impl User {
    /// Whoever logs in as this user elsewhere does so at the other address.
    pub(super) fn elsewhere(&self) -> bool {
        !self.second
    }

    pub(super) fn here(&self) -> bool {
        self.second
    }

    /// Gives the user another node, and consumes what that brings.
    pub(super) async fn new_node(&mut self) -> Result<String> {
        self.link.edit(json!({"op": 3, "id": fresh(), "newnode": "another"})).await?;
        let expected = json!({"op": "user", "from": self.uid, "newnode": "another", "nodeid": "*"});
        let message = self.link.message(expected, b"").await?;
        Ok(message.core["nodeid"].as_str().unwrap_or_default().to_owned())
    }

    /// Gives the user another device, which is at the other address and has read everything.
    pub(super) async fn device(&mut self, world: &World) -> Result<Link> {
        let node = self.new_node().await?;
        let mut link = world.login(&self.uid, &node, self.elsewhere()).await?;
        let first = link.next_message().await?;
        super::link::same("op of a new node's first message", &first.core["op"], &json!("user"))?;
        for link in [&mut link, &mut self.link] {
            link.message(json!({"op": "login", "from": self.uid, "node": "tbd"}), b"").await?;
        }
        Ok(link)
    }

    /// Posts to one user, and gives id and time.
    pub(super) async fn post(&mut self, to: &str, data: &[u8]) -> Result<Receipt> {
        self.link.store(json!({"op": 7, "id": fresh(), "for": [{"id": to, "type": 1}]}), data).await
    }

    /// A delivery of this user's, as others get it.
    pub(super) fn delivery(&self) -> Value {
        json!({"op": "delivery", "from": self.uid})
    }

    /// Founds a group of these users, all joined, in that order, and consumes what that brings.
    pub(super) async fn found(&mut self, gid: &str, others: &mut [&mut User]) -> Result {
        for place in 0..others.len() {
            let (joined, rest) = others.split_at_mut(place);
            let Some(invitee) = rest.first_mut() else { continue };
            let (gid, to) = (json!(gid), json!(invitee.alias));
            let invite = json!({"op": 5, "id": fresh(), "gid": gid, "from": self.alias, "to": to});
            self.link.store(invite, b"").await?;
            let seen = json!({"op": "invite", "from": self.uid, "gid": gid, "alias": self.alias, "to": to});
            invitee.link.message(seen, b"").await?;
            invitee.link.edit(json!({"op": 6, "id": fresh(), "act": "join", "gid": gid})).await?;
            let news = |act: &str, from: &str| json!({"op": "member", "from": from, "act": act, "gid": gid, "alias": to});
            for member in joined.iter_mut() {
                member.link.message(news("invite", &self.uid), b"").await?;
                member.link.message(news("join", &invitee.uid), b"").await?;
            }
            self.link.message(news("invite", &self.uid), b"").await?;
            self.link.message(news("join", &invitee.uid), b"").await?;
            let own = news("join", &invitee.uid);
            invitee.link.message(own, b"").await?;
        }
        Ok(())
    }
}
