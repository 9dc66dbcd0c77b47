//! Postgres: every statement of the system but the body store's chunks. The only truth: what is not committed here has
//! not happened.
//!
//! One module per concern; set-based statements, one round trip per batch. No module decides anything: rules live in
//! `domain` and in the worker.

mod acme;
mod admin;
mod body;
mod certificate;
mod commit;
mod inbox;
mod look;
mod member;
mod migrations;
mod policy;
mod recover;
mod registration;
mod shard;
mod site;
mod spill;
mod trace;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, PgExecutor, Row};

use migrations::MIGRATIONS;

pub use acme::{AcmeDomain, AcmeEnableError, AcmeState};
pub use admin::{
    AdminRecord, AdminTx, ApiKey, AuditEntry, AuditFilter, Claim, DeviceRecord, DueResume, Erasure,
    ExternalId, GroupPlace, GroupRecord, Hold, Holdings, InviteFilter, InviteRecord, IssuerKey, Job, JobEnd,
    JobFilter, JobState, Joined, MemberFilter, MemberRecord, NewApiKey, NewAudit, NewInvite, NewJob,
    PolicyEntry, PolicyRecord, Progress, ProviderRecord, Reader, SETTLED_BY_WORKER, Settled, SettledAnswer,
    Sights, SignInCode, SiteChange, SiteFilter, SiteHoldings, SiteKind, SiteRecord, SiteTurn, Suspension,
    TakenJob, UsageRecord, WAITING,
};
pub use body::StoredBody;
pub use certificate::{CertificateRecord, CertificateSource, NewCertificate};
pub use commit::{Change, Commit, CommitError, ShardCommit};
pub use inbox::{Depth, Page, PageRequest, RowMessage};
pub use look::Looks;
pub use policy::{OldRow, PolicyChange, QuietDevice, QuietLimit};
pub use recover::{ReceiptsFrom, Recovery};
pub use registration::{Joining, Subject};
pub use shard::{Heartbeat, OwnedShard, ShardOwner, WorkerLease};
pub use site::{CreateSite, CreateSiteError};
pub use spill::{DayUse, InboxRow, MessageRow, Part, Refused, RowAck, Spill, Spilled};
pub use trace::{DropReason, DroppedQueue, TraceDrop, TracePage, TraceRow};

/// Why a statement did not succeed, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away, restarting, or short of something; the same call may succeed later.
    #[error("database unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// The statement itself was refused: a bug or a foreign hand in the data.
    #[error("database refused the statement")]
    Refused(#[source] sqlx::Error),
    /// A row holds what this release cannot read.
    #[error("unreadable row: {0}")]
    Unreadable(String),
    /// Migrations could not be applied.
    #[error("cannot migrate the database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The schema is not one that this release works with.
    #[error("{0}")]
    Schema(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) { Self::Unavailable(error) } else { Self::Refused(error) }
    }
}

impl Error {
    /// True when the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// True when the database refused the very values of the statement (SQLSTATE classes 22, 23 and 54: data
    /// exceptions, constraints, limits of size): the same call never succeeds, another one may. Any other refusal
    /// (permissions, a missing table) concerns every call alike.
    pub fn is_about_data(&self) -> bool {
        let Self::Refused(sqlx::Error::Database(cause)) = self else { return false };
        cause.code().is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
    }
}

/// Connection trouble, shutdowns (57P), lack of resources (53: disk, memory, connections), conflicts (40), locks (55),
/// and a server that takes no writes because it is still, or now, a standby (25006).
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(cause) => cause.code().is_none_or(|code| {
            ["08", "25006", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
        }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// The number of shards of a new deployment.
pub const SHARDS_DEFAULT: u16 = 64;

/// A commit that is confirmed survives a crash (invariant I1), whatever the server, the database or the role has as its
/// default. A default that promises even more stays.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') <> 'remote_apply'";

/// A pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Connects; fails after `acquire_timeout` when the database does not answer. Later losses heal by themselves.
    pub async fn connect(url: &str, connections_max: u32, acquire_timeout: Duration) -> Result<Self, Error> {
        let options: PgConnectOptions = url.parse().map_err(Error::from)?;
        let pool = PgPoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(acquire_timeout)
            // A connection of the pool has been idle for microseconds when the next batch takes it; a dead one shows
            // as an error of the statement, which every caller handles anyway.
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(DURABLE).await.map(drop) })
            })
            .connect_with(options.disable_statement_logging())
            .await?;
        Ok(Self { pool })
    }

    /// Connects when it is first needed; for processes that start without a database too. Only a URL that is none fails.
    pub fn connect_lazily(url: &str, connections_max: u32, acquire_timeout: Duration) -> Result<Self, Error> {
        let options: PgConnectOptions = url.parse().map_err(Error::from)?;
        let pool = PgPoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(acquire_timeout)
            .connect_lazy_with(options.disable_statement_logging());
        Ok(Self { pool })
    }

    /// Does the database answer?
    pub async fn ping(&self) -> Result<(), Error> {
        self.pool.execute("SELECT 1").await?;
        Ok(())
    }

    /// Applies the migrations that are missing, one process at a time, and fixes the number of shards at the first run.
    pub async fn migrate(&self, shards: u16) -> Result<(), Error> {
        MIGRATIONS.run(&self.pool).await.map_err(Error::Migrate)?;
        let mut tx = self.pool.begin().await?;
        sqlx::query("INSERT INTO deployment (shards) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(shards.cast_signed())
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO shard (shard_id)
             SELECT generate_series(0, (SELECT shards FROM deployment) - 1)
             ON CONFLICT DO NOTHING",
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Checks that the schema is the one this release works with; the message says what to do otherwise.
    pub async fn check_schema(&self) -> Result<(), Error> {
        let wanted = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
        let exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
            .fetch_one(&self.pool)
            .await?;
        let found: i64 = if exists {
            sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
                .fetch_one(&self.pool)
                .await?
        } else {
            0
        };
        // A newer schema is fine: migrations are add-only, and the release before runs on it during an upgrade.
        if found < wanted {
            return Err(Error::Schema(format!(
                "the database schema is at {found}, this release needs {wanted}: run `tmtpctl migrate`"
            )));
        }
        Ok(())
    }

    /// The number of shards of this deployment.
    pub async fn shards(&self) -> Result<u16, Error> {
        shards(&self.pool).await
    }

    /// Counts of what waits, for demonstrations and checks: journal entries, messages, inbox rows, bodies that are
    /// referred to or not removed yet, and chunks of bodies. The delivery trace is not counted, on purpose: it has nothing
    /// that a message says, and stays for a time of its own.
    pub async fn waiting(&self) -> Result<Waiting, Error> {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM journal), (SELECT count(*) FROM message),
                    (SELECT count(*) FROM inbox), (SELECT count(*) FROM body WHERE swept_at IS NULL),
                    (SELECT count(*) FROM body_chunk)",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Waiting {
            journal: row.try_get(0)?,
            messages: row.try_get(1)?,
            inbox: row.try_get(2)?,
            bodies: row.try_get(3)?,
            chunks: row.try_get(4)?,
        })
    }
}

/// What waits in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Journal entries that are not spilled.
    pub journal: i64,
    /// Spilled messages.
    pub messages: i64,
    /// Nodes that are owed spilled messages.
    pub inbox: i64,
    /// Bodies that messages refer to, or did until they were delivered, as long as they are not removed.
    pub bodies: i64,
    /// Chunks of bodies, when the body store is this database.
    pub chunks: i64,
}

async fn shards(database: impl PgExecutor<'_>) -> Result<u16, Error> {
    let shards: i16 = sqlx::query_scalar("SELECT shards FROM deployment").fetch_one(database).await?;
    u16::try_from(shards).map_err(|_| Error::Unreadable("deployment.shards".into()))
}

/// A uid from a row.
fn uid(octets: &[u8]) -> Result<tmtp_domain::Uid, Error> {
    octets.try_into().map(tmtp_domain::Uid).map_err(|_| Error::Unreadable("uid".into()))
}
