//! The database as handlers have it: so that none reads more than its caller may see, by accident.
//!
//! What an answer says is read with [`Caller::read`](super::caller::Caller::read), under row-level security; a change
//! goes through [`Caller::begin`](super::caller::Caller::begin). The store itself, which sees everything, is out of
//! handlers' reach: only the modules of `api` begin reads and changes, and what else a handler may ask for is named here.
//! Jobs, upkeep, the ordering of certificates and the issuer answer to no key and have the store.

use std::collections::HashMap;

use tmtp_domain::{InviteCode, KeyId};
use tmtp_store::{AdminTx, ApiKey, Error, InviteRecord, Reader, Settled, Sights, Store};
use uuid::Uuid;

/// The way to the database. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Database(Store);

impl Database {
    pub(super) fn new(store: Store) -> Self {
        Self(store)
    }

    pub(super) async fn read(&self, sights: &Sights) -> Result<Reader, Error> {
        self.0.read(sights).await
    }

    pub(super) async fn begin(&self) -> Result<AdminTx, Error> {
        self.0.admin().await
    }

    /// The key of this hash, if it is good: who asks.
    pub(super) async fn use_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, Error> {
        self.0.use_key(hash).await
    }

    /// What came of requests of these keys.
    pub(super) async fn settled(
        &self,
        wanted: &[(KeyId, String)],
    ) -> Result<HashMap<(KeyId, String), Settled>, Error> {
        self.0.settled(wanted).await
    }

    /// Whether this is the code of an invite that the caller may see. A read cannot tell: it sees no hashes of codes.
    pub(crate) async fn is_code_of(&self, invite: &InviteRecord, code: &InviteCode) -> Result<bool, Error> {
        let found = self.0.invite_by_code(invite.site, &code.hash(invite.site)).await?;
        Ok(found.is_some_and(|found| found.id() == invite.id()))
    }

    /// What a job has sealed for the key that asked for it, which alone opens it.
    pub(crate) async fn sealed_of(&self, job: Uuid, key: Uuid) -> Result<Option<String>, Error> {
        self.0.sealed_of(job, key).await
    }
}
