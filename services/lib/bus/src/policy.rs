//! Whether Redis is set up so that it does not lose entries by itself.

use std::time::Duration;

use crate::link::info_field;
use crate::{Bus, Error};

/// What Redis does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It keeps it.
    Keeps,
    /// It does not tell: managed services forbid the commands.
    Untold,
}

/// How often is asked whether somebody has set it up.
const ASK_AGAIN: Duration = Duration::from_secs(2);

impl Bus {
    /// Returns when Redis is set up as it has to be: at once, or as soon as somebody has changed it. Tells each time what
    /// it has found, for the readiness of the process.
    ///
    /// # Errors
    /// As [`Bus::check_policy`], but never [`Error::Evicts`].
    pub async fn wait_for_policy(&self, mut tell: impl FnMut(Result<(), String>)) -> Result<(), Error> {
        let mut complained = false;
        loop {
            match self.check_policy().await {
                Ok(policy) => {
                    if policy == Policy::Untold {
                        tracing::warn!(
                            "Redis does not tell its maxmemory-policy; make sure that it is noeviction"
                        );
                    }
                    tell(Ok(()));
                    return Ok(());
                }
                Err(error @ Error::Evicts(_)) => {
                    if !complained {
                        tracing::error!("{error}; waiting for that");
                        complained = true;
                    }
                    tell(Err(error.to_string()));
                }
                Err(other) => return Err(other),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Checks that Redis answers "full" instead of throwing keys away when its memory is used up.
    ///
    /// # Errors
    /// [`Error::Evicts`] with the policy; what [`Error`] says otherwise.
    pub async fn check_policy(&self) -> Result<Policy, Error> {
        let (limit, policy) = match self.link.command::<String>(redis::cmd("INFO").arg("memory")).await {
            Ok(info) => (owned(&info, "maxmemory"), owned(&info, "maxmemory_policy")),
            Err(Error::Refused(_)) => (None, None),
            Err(other) => return Err(other),
        };
        let limit = self.or_config(limit, "maxmemory").await?;
        let policy = self.or_config(policy, "maxmemory-policy").await?;
        match (limit.as_deref(), policy) {
            (Some("0"), _) => Ok(Policy::Keeps),
            (_, Some(policy)) if policy == "noeviction" => Ok(Policy::Keeps),
            (_, Some(policy)) => Err(Error::Evicts(policy)),
            (_, None) => Ok(Policy::Untold),
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
