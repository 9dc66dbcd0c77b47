//! Reads of one site: the database itself sees to it that they see no other (see the migration of the reader).

use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};
use tmtp_domain::SiteId;

use super::audit::entries;
use crate::{AuditEntry, AuditFilter, Error, Store};

/// A transaction that reads one site, and cannot see others.
pub struct SiteRead {
    pub(crate) site: SiteId,
    pub(crate) tx: Transaction<'static, Postgres>,
}

impl Store {
    /// Begins to read a site. It need not exist: then nothing is seen.
    pub async fn read_site(&self, site: SiteId) -> Result<SiteRead, Error> {
        let mut tx = self.pool.begin_with("BEGIN READ ONLY").await?;
        // Both end with the transaction. The id is ours to write: hex digits and dashes.
        let become_reader = format!("SET LOCAL ROLE postern_reader; SET LOCAL postern.sites = '{site}'");
        sqlx::raw_sql(AssertSqlSafe(become_reader)).execute(&mut *tx).await?;
        Ok(SiteRead { site, tx })
    }
}

impl SiteRead {
    /// The site that it sees.
    pub fn site(&self) -> SiteId {
        self.site
    }

    /// For the statements of other modules of this crate, and of tests.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Entries of the site's log, the newest first.
    pub async fn audit(&mut self, filter: AuditFilter<'_>, limit: i64) -> Result<Vec<AuditEntry>, Error> {
        let site = [self.site];
        entries(&mut *self.tx, AuditFilter { sites: Some(&site), ..filter }, limit).await
    }
}
