//! The account of this deployment at the authority: made once, shared by all admin servers, its key sealed.

use instant_acme::{Account, AccountBuilder, AccountCredentials, NewAccount};
use tmtp_seal::Sealer;
use tmtp_store::Store;

use super::order::Error;
use crate::config::Acme;

/// The account, once it is known.
pub struct Accounts {
    config: Acme,
    known: Option<Account>,
}

impl Accounts {
    /// No account is known yet.
    pub fn new(config: Acme) -> Self {
        Self { config, known: None }
    }

    /// The account: the one that is kept, or else a new one.
    pub async fn get(&mut self, store: &Store, sealer: &Sealer) -> Result<Account, Error> {
        if let Some(account) = &self.known {
            return Ok(account.clone());
        }
        let directory = &self.config.directory;
        let sealed = if let Some(sealed) = store.acme_account(directory).await? {
            sealed
        } else {
            let sealed = sealer.seal(&context(directory), &self.create().await?)?;
            // Another server may have been faster; then its account is everybody's.
            store.keep_acme_account(directory, &sealed).await?
        };
        let opened = sealer.open(&context(directory), &sealed)?;
        let credentials: AccountCredentials = serde_json::from_slice(&opened)
            .map_err(|_| Error::Account("kept in a form that is not known"))?;
        let account = self.builder()?.from_credentials(credentials).await?;
        self.known = Some(account.clone());
        Ok(account)
    }

    /// The authority does not know the account any more.
    pub async fn forget(&mut self, store: &Store) -> Result<(), tmtp_store::Error> {
        tracing::warn!("the certificate authority does not know our account: making another");
        self.known = None;
        store.forget_acme_account(&self.config.directory).await
    }

    /// Makes an account, and returns its credentials in the form in which they are kept.
    async fn create(&self) -> Result<Vec<u8>, Error> {
        let contact = format!("mailto:{}", self.config.contact);
        let contacts = [contact.as_str()];
        let new = NewAccount {
            contact: if self.config.contact.is_empty() { &[] } else { &contacts },
            terms_of_service_agreed: self.config.terms_agreed,
            only_return_existing: false,
        };
        let (_, credentials) = self.builder()?.create(&new, self.config.directory.clone(), None).await?;
        tracing::info!(directory = self.config.directory, "account made at the certificate authority");
        serde_json::to_vec(&credentials).map_err(|_| Error::Account("cannot be written"))
    }

    fn builder(&self) -> Result<AccountBuilder, Error> {
        Ok(match &self.config.root {
            Some(path) => Account::builder_with_root(path)?,
            None => Account::builder()?,
        })
    }
}

/// To what place the credentials are sealed.
fn context(directory: &str) -> String {
    format!("acme account at {directory}")
}
