//! Where a transcript is played: the pure cluster, or a real one over TLS. Both can do the same few things.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sqlx::PgConnection;
use tmtp_client::{Connect, Trust};
use tmtp_contract::{AdminAnswer, AdminChange};
use tmtp_domain::{SiteId, Uid};
use tmtp_e2e::{Cluster, Pure, WAIT};
use tmtp_gateway::session::Exit;
use tmtp_testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

/// What came.
#[derive(Debug)]
pub enum Came {
    Octets(Vec<u8>),
    /// The proper end of the TLS stream.
    End,
    /// The end of the connection, without that.
    Cut,
    Nothing,
}

/// A cluster to play at.
pub trait Stage {
    /// A new connection; gives its number.
    async fn connect(&mut self, gateway: usize) -> Result<usize>;
    /// Sends octets. That the connection has ended shows when something is read.
    async fn send(&mut self, link: usize, octets: &[u8]) -> Result<()>;
    /// What came next. `briefly`: nothing is expected.
    async fn read(&mut self, link: usize, briefly: bool) -> Result<Came>;
    /// From now on nothing is read there.
    async fn stop_reading(&mut self, link: usize);
    /// Ends the connection without a word.
    async fn close(&mut self, link: usize);
    /// Lets time pass. `real`: it is not scaled.
    async fn pass(&mut self, time: Duration, real: bool);
    /// Nobody uses this device for so long, and the server has looked after it since.
    async fn leave_alone(&mut self, uid: &str, device: i16, time: Duration) -> Result<()>;
    /// The database refuses what comes of the next command.
    fn refuse_next(&mut self) -> Result<()>;
    /// An admin changes something.
    fn administer(&mut self, change: AdminChange) -> Result<()>;
}

impl Stage for Pure {
    async fn connect(&mut self, gateway: usize) -> Result<usize> {
        Ok(Self::connect(self, gateway))
    }

    async fn send(&mut self, link: usize, octets: &[u8]) -> Result<()> {
        Self::send(self, link, octets);
        Ok(())
    }

    async fn read(&mut self, link: usize, _: bool) -> Result<Came> {
        let octets = Self::read(self, link);
        Ok(match self.end(link) {
            _ if !octets.is_empty() => Came::Octets(octets),
            None => Came::Nothing,
            Some(Exit::Clean) => Came::End,
            Some(Exit::Cut) => Came::Cut,
        })
    }

    async fn stop_reading(&mut self, link: usize) {
        Self::stop_reading(self, link);
    }

    async fn close(&mut self, link: usize) {
        Self::close(self, link);
    }

    async fn pass(&mut self, time: Duration, _: bool) {
        Self::pass(self, time);
    }

    async fn leave_alone(&mut self, _: &str, _: i16, _: Duration) -> Result<()> {
        bail!("devices do not age here, because there is no database that says when they were used")
    }

    fn refuse_next(&mut self) -> Result<()> {
        Self::refuse_next(self);
        Ok(())
    }

    fn administer(&mut self, change: AdminChange) -> Result<()> {
        match Self::administer(self, change) {
            AdminAnswer::Done { .. } => Ok(()),
            AdminAnswer::Refused { text, .. } => bail!("the admin is told: {text}"),
        }
    }
}

/// A site of a real cluster.
pub struct Real<'a> {
    cluster: &'a Cluster,
    gateways: Vec<SocketAddr>,
    /// Of the site.
    domain: String,
    site: SiteId,
    links: Vec<RealLink>,
}

/// The long times of the real cluster are shorter than those of transcripts by this factor.
pub const SCALE: u32 = 4;
/// How long nothing has to come where nothing is expected and no message can show that.
const BRIEFLY: Duration = Duration::from_millis(400);

struct RealLink {
    writing: Option<WriteHalf<TlsStream<TcpStream>>>,
    /// Reads all the time, so that the link is never the reason why a server waits.
    reading: JoinHandle<()>,
    came: mpsc::UnboundedReceiver<Came>,
}

impl<'a> Real<'a> {
    pub fn new(cluster: &'a Cluster, domain: String, site: SiteId) -> Self {
        Self { cluster, gateways: cluster.gateway_addresses(), domain, site, links: Vec::new() }
    }
}

/// A member's device as the database knows it.
struct Device {
    site: SiteId,
    uid: Uid,
    num: i16,
}

impl Device {
    /// Messages that wait for it in rows.
    async fn waiting(&self, database: &mut PgConnection) -> Result<i64> {
        let query =
            sqlx::query_scalar("SELECT count(*) FROM inbox WHERE site_id = $1 AND uid = $2 AND node = $3");
        let query = query.bind(self.site.0).bind(&self.uid.0[..]).bind(self.num);
        query.fetch_one(database).await.context("count what waits")
    }

    /// Its last use, and a warning, become older.
    async fn age(&self, database: &mut PgConnection, time: Duration) -> Result<()> {
        let query = sqlx::query(
            "UPDATE node SET last_seen_at = coalesce(last_seen_at, created_at) - make_interval(secs => $4),
                             quiet_warned_at = quiet_warned_at - make_interval(secs => $4)
             WHERE site_id = $1 AND uid = $2 AND num = $3",
        );
        let query = query.bind(self.site.0).bind(&self.uid.0[..]).bind(self.num).bind(time.as_secs_f64());
        let aged = query.execute(database).await.context("make the device older")?.rows_affected();
        ensure!(aged == 1, "there is no device {} of {}", self.num, self.uid);
        Ok(())
    }

    /// Its user was warned just now.
    async fn is_warned(&self, database: &mut PgConnection) -> Result<bool> {
        let query = sqlx::query_scalar(
            "SELECT coalesce(quiet_warned_at > now() - interval '1 hour', false) FROM node
             WHERE site_id = $1 AND uid = $2 AND num = $3",
        );
        let query = query.bind(self.site.0).bind(&self.uid.0[..]).bind(self.num);
        query.fetch_one(database).await.context("read when it was warned")
    }
}

impl Stage for Real<'_> {
    async fn connect(&mut self, gateway: usize) -> Result<usize> {
        let address = *self.gateways.get(gateway).context("no such gateway")?;
        let connect = Connect { address, server_name: Some(self.domain.clone()), trust: Trust::Any };
        let (reading, writing) = split(connect.dial().await?);
        let (sender, came) = mpsc::unbounded_channel();
        let reading = tokio::spawn(read_all(reading, sender));
        self.links.push(RealLink { writing: Some(writing), reading, came });
        Ok(self.links.len() - 1)
    }

    async fn send(&mut self, link: usize, octets: &[u8]) -> Result<()> {
        if let Some(writing) = &mut self.links[link].writing {
            let sending = async {
                let _ = writing.write_all(octets).await;
                let _ = writing.flush().await;
            };
            tokio::time::timeout(WAIT, sending).await.context("the server does not take what is sent")?;
        }
        Ok(())
    }

    async fn read(&mut self, link: usize, briefly: bool) -> Result<Came> {
        let wait = if briefly { BRIEFLY } else { WAIT };
        match tokio::time::timeout(wait, self.links[link].came.recv()).await {
            Ok(came) => Ok(came.unwrap_or(Came::Nothing)),
            Err(_) => Ok(Came::Nothing),
        }
    }

    async fn stop_reading(&mut self, link: usize) {
        self.links[link].reading.abort();
    }

    async fn close(&mut self, link: usize) {
        // The socket is closed when both halves are gone.
        self.links[link].writing = None;
        self.links[link].reading.abort();
    }

    async fn pass(&mut self, time: Duration, real: bool) {
        tokio::time::sleep(if real { time } else { time / SCALE }).await;
    }

    async fn leave_alone(&mut self, uid: &str, device: i16, time: Duration) -> Result<()> {
        let device = Device { site: self.site, uid: Uid::parse(uid).context("a uid")?, num: device };
        let mut database = self.cluster.database().await?;
        let in_rows = async || device.waiting(&mut database).await.is_ok_and(|rows| rows > 0).then_some(());
        eventually(WAIT, "messages for the device to be in rows", in_rows).await?;
        device.age(&mut database, time).await?;
        let looked_after = async || {
            let is_warned = device.is_warned(&mut database).await.ok()?;
            (is_warned || device.waiting(&mut database).await.ok()? == 0).then_some(())
        };
        eventually(WAIT, "the server to look after the device", looked_after).await
    }

    fn refuse_next(&mut self) -> Result<()> {
        bail!("a real database cannot be told to refuse something")
    }

    fn administer(&mut self, _: AdminChange) -> Result<()> {
        bail!("a real cluster has its own admins")
    }
}

async fn read_all(mut reading: ReadHalf<TlsStream<TcpStream>>, came: mpsc::UnboundedSender<Came>) {
    let mut buffer = vec![0; 32 << 10];
    loop {
        let (next, over) = match reading.read(&mut buffer).await {
            Ok(0) => (Came::End, true),
            Ok(len) => (Came::Octets(buffer[..len].to_vec()), false),
            Err(_) => (Came::Cut, true),
        };
        if came.send(next).is_err() || over {
            return;
        }
    }
}
