//! A gateway as clients of one site see it.

use std::net::SocketAddr;
use std::ops::Deref;

use anyhow::{Context, Result};
use rustls::RootCertStore;
use tmtp_client::{Account, Client, Connect, Error, Greeting, Trust};
use tmtp_wire::Request;
use tokio::time::timeout;

use crate::{DEFAULT_SITE, Link, Program, WAIT};

/// Where to connect, and under which name. Everything of the [`Program`] can be asked here as well.
#[derive(Clone)]
pub struct Gateway<'c> {
    program: &'c Program,
    connect: Connect,
}

impl<'c> Gateway<'c> {
    pub(crate) fn new(program: &'c Program, address: SocketAddr) -> Self {
        let connect = Connect { address, server_name: Some(DEFAULT_SITE.to_owned()), trust: Trust::Any };
        Self { program, connect }
    }

    /// The same gateway for clients that name this host.
    pub fn at(mut self, host: &str) -> Self {
        self.connect.server_name = Some(host.to_owned());
        self
    }

    /// The same gateway for clients that dial the bare address.
    pub fn unnamed(mut self) -> Self {
        self.connect.server_name = None;
        self
    }

    /// The same gateway for clients that trust only these certificates.
    pub fn trusting(mut self, roots: RootCertStore) -> Self {
        self.connect.trust = Trust::Roots(roots);
        self
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.connect.address
    }

    /// A new user without alias, connected by its first node. `who` is for messages of the test only.
    pub async fn connect(&self, who: &str) -> Result<Link> {
        self.connect_as(who, "_").await
    }

    /// A new user with an alias.
    pub async fn connect_as(&self, who: &str, alias: &str) -> Result<Link> {
        let (client, account) = self.try_register(alias).await.with_context(|| format!("register {who}"))?;
        Ok(Link::new(who, account, client))
    }

    /// Registers, and says how that failed.
    pub async fn try_register(&self, alias: &str) -> Result<(Client, Account), Error> {
        within(Client::register(&self.connect, alias, "a node")).await
    }

    /// Registers with a request of the caller's, and says how that failed.
    pub async fn try_join(&self, request: &Request) -> Result<(Client, Account), Error> {
        within(Client::register_with(&self.connect, request)).await
    }

    /// Logs a node in that has an account.
    pub async fn login(&self, who: &str, account: &Account) -> Result<Link> {
        let client = self.try_login(account).await.with_context(|| format!("log {who} in"))?;
        Ok(Link::new(who, account.clone(), client))
    }

    /// The same; gives also who is said to be online.
    pub async fn login_told(&self, who: &str, account: &Account) -> Result<(Link, Vec<String>)> {
        let login = within(Client::login(&self.connect, &account.uid, &account.node_id)).await;
        let (client, info) = login.with_context(|| format!("log {who} in"))?;
        Ok((Link::new(who, account.clone(), client), info.ohi))
    }

    /// Logs in, and says how that failed.
    pub async fn try_login(&self, account: &Account) -> Result<Client, Error> {
        let (client, _) = within(Client::login(&self.connect, &account.uid, &account.node_id)).await?;
        Ok(client)
    }

    /// What the gateway says to the first request.
    pub async fn greeting(&self) -> Result<Greeting, Error> {
        let (_, greeting) = within(Client::open(&self.connect)).await?;
        Ok(greeting)
    }

    /// A TLS connection on which nothing has been said.
    pub async fn dial(&self) -> Result<Client, Error> {
        within(Client::connect(&self.connect)).await
    }
}

impl Deref for Gateway<'_> {
    type Target = Program;

    fn deref(&self) -> &Program {
        self.program
    }
}

/// A server that does not answer in time counts as one that is not there.
async fn within<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(WAIT, call).await.unwrap_or(Err(Error::Closed))
}
