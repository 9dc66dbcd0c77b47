//! What the admin API reads and writes. A change, its audit entry and the answer to its request are one transaction:
//! [`AdminTx`].

mod audit;
mod count;
mod erase;
mod gone;
mod invite;
mod issuer;
mod job;
mod key;
mod member;
mod member_change;
mod policy;
mod provider;
mod read;
mod request;
mod settled;
mod site;
mod usage;

pub use audit::{AuditEntry, AuditFilter, NewAudit};
pub use count::SiteHoldings;
pub use erase::Erasure;
pub use gone::Holdings;
pub(crate) use gone::erase_gone;
pub(crate) use invite::invite_usage;
pub use invite::{InviteFilter, InviteRecord, Joined, NewInvite};
pub use issuer::{IssuerKey, SignInCode};
pub use job::{Hold, Job, JobEnd, JobFilter, JobState, NewJob, Progress, TakenJob};
pub use key::{ApiKey, NewApiKey};
pub use member::{DeviceRecord, DueResume, ExternalId, GroupPlace, GroupRecord, MemberFilter, MemberRecord};
pub use member_change::Suspension;
pub(crate) use member_change::{change_member, drop_inbox, see_nodes};
pub use policy::{PolicyEntry, PolicyRecord};
pub use provider::ProviderRecord;
pub use read::{Reader, Sights};
pub use request::{Claim, SettledAnswer};
pub(crate) use settled::settle_admin;
pub use settled::{AdminRecord, SETTLED_BY_WORKER, Settled, WAITING};
pub use site::{SiteChange, SiteFilter, SiteKind, SiteRecord, SiteTurn};
pub use usage::UsageRecord;

use sqlx::{Postgres, Transaction};

use crate::{Error, Store};

/// A change by the admin API. Dropped without [`AdminTx::commit`], it has not happened.
pub struct AdminTx {
    pub(crate) tx: Transaction<'static, Postgres>,
}

impl Store {
    /// Begins a change by the admin API.
    pub async fn admin(&self) -> Result<AdminTx, Error> {
        Ok(AdminTx { tx: self.pool.begin().await? })
    }
}

impl AdminTx {
    /// Makes all of it happen.
    pub async fn commit(self) -> Result<(), Error> {
        Ok(self.tx.commit().await?)
    }
}
