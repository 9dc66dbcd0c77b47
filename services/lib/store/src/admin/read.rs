//! Reads of the admin API: the database itself sees to it that they see what the caller's key is for, and nothing else.
//!
//! A [`Reader`] is a transaction that only reads, as the role `postern_reader`, under row-level security: even a
//! statement that forgets its WHERE sees no other site, and no statement sees a secret (see the migrations
//! `*_reader*.sql`). What the API answers with is read by methods of the reader and of nothing else, so that reading it
//! in another way does not compile. What stays on the pool, as the tables' owner, and why:
//!
//! - Whose key it is ([`Store::use_key`]): before that nobody knows what may be seen. It compares hashes.
//! - What a request came to that came before ([`Store::settled`], [`AdminTx::claim`](super::AdminTx::claim)): found by the
//!   caller's own key.
//! - Secrets that are compared or told to whom they belong: the code of an invite ([`Store::invite_by_code`]), what a job
//!   has sealed for the key that asked for it ([`Store::sealed_of`]).
//! - Changes ([`AdminTx`](super::AdminTx)): what they read is locked, and they write. Their handlers check the site.
//! - Whoever acts for the deployment and not for a key: workers, upkeep, jobs, the ordering of certificates, the issuer's
//!   keys and codes, `tmtpctl`.
//!
//! A read costs one round trip to begin, one for each statement, and none to end: the rollback goes out with the
//! connection's way back to the pool.

use std::borrow::Cow;

use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};
use tmtp_domain::SiteId;

use crate::{Error, Store};

/// What a read may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sights {
    /// These sites. Of what belongs to several, such as keys, only what belongs to no other; of none: nothing.
    Of(Vec<SiteId>),
    /// All sites, and what concerns the deployment: for operators.
    All,
}

impl Sights {
    /// One site.
    pub fn of(site: SiteId) -> Self {
        Self::Of(vec![site])
    }

    /// As the policies understand it: `all`, or ids. Nothing else means all, so nobody gets there by leaving something
    /// out.
    fn setting(&self) -> Cow<'static, str> {
        match self {
            Self::Of(sites) => {
                let ids: Vec<String> = sites.iter().map(|site| site.0.to_string()).collect();
                Cow::Owned(ids.join(","))
            }
            Self::All => Cow::Borrowed("all"),
        }
    }
}

/// A transaction that reads what it may see. Dropped when it is done; it holds a connection until then, so nothing slow
/// is waited for meanwhile.
pub struct Reader {
    pub(crate) tx: Transaction<'static, Postgres>,
}

impl Store {
    /// Begins to read. Sites need not exist: then nothing is seen of them.
    pub async fn read(&self, sights: &Sights) -> Result<Reader, Error> {
        // Role and setting end with the transaction. The text is ours: hex digits, dashes, commas, or a word.
        let begin = format!(
            "BEGIN READ ONLY; SET LOCAL ROLE postern_reader; SET LOCAL postern.sites = '{}'",
            sights.setting()
        );
        Ok(Reader { tx: self.pool.begin_with(AssertSqlSafe(begin)).await? })
    }
}

impl Reader {
    /// For tests: any statement, which sees no more than the others.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}
