//! Whether Redis is set up so that it does not lose entries by itself.

use crate::link::info_field;
use crate::{Bus, Error};

impl Bus {
    /// Checks that Redis answers "full" instead of throwing keys away when its memory is used up.
    ///
    /// Where neither INFO nor CONFIG tell (managed services forbid them), it warns and goes on.
    ///
    /// # Errors
    /// [`Error::Evicts`] with the policy; what [`Error`] says otherwise.
    pub async fn check_policy(&self) -> Result<(), Error> {
        let (limit, policy) = match self.link.command::<String>(redis::cmd("INFO").arg("memory")).await {
            Ok(info) => (owned(&info, "maxmemory"), owned(&info, "maxmemory_policy")),
            Err(Error::Refused(_)) => (None, None),
            Err(other) => return Err(other),
        };
        let limit = self.or_config(limit, "maxmemory").await?;
        let policy = self.or_config(policy, "maxmemory-policy").await?;
        match (limit.as_deref(), policy) {
            (Some("0"), _) => Ok(()),
            (_, Some(policy)) if policy == "noeviction" => Ok(()),
            (_, Some(policy)) => Err(Error::Evicts(policy)),
            (_, None) => {
                tracing::warn!("Redis does not tell its maxmemory-policy; make sure that it is noeviction");
                Ok(())
            }
        }
    }

    async fn or_config(&self, known: Option<String>, setting: &str) -> Result<Option<String>, Error> {
        if known.is_some() {
            return Ok(known);
        }
        match self.link.command::<Vec<String>>(redis::cmd("CONFIG").arg("GET").arg(setting)).await {
            Ok(pair) => Ok(pair.into_iter().nth(1)),
            Err(Error::Refused(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }
}

fn owned(info: &str, name: &str) -> Option<String> {
    info_field(info, name).map(str::to_owned)
}
