//! One order: from the wish for a certificate to the certificate, and what can go wrong in between.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus, Problem,
    RetryPolicy,
};
use tmtp_bus::{Bus, CHALLENGE_LEN};

use crate::certificates::Refusal;

/// How long the gateways know the answer: longer than an order takes.
const CHALLENGE_KEPT: Duration = Duration::from_mins(10);
/// How long the authority may take for each of its two parts: looking, and issuing.
const PATIENCE: Duration = Duration::from_secs(100);
/// Longer errors are cut before they are kept.
const SAID_MAX: usize = 1_000;

/// What was issued, in PEM.
pub struct Issued {
    /// The certificate and those of its issuers.
    pub chain: String,
    /// Its key, made here and never sent.
    pub key: String,
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authority refused, or could not be reached.
    #[error("the certificate authority")]
    Acme(#[from] instant_acme::Error),
    /// It looked, and was not convinced.
    #[error("the certificate authority could not verify the domain: {0}")]
    Unproved(String),
    /// It wants another proof than ours.
    #[error("the certificate authority does not offer tls-alpn-01 for this domain")]
    NoChallenge,
    /// What it issued is of no use.
    #[error("what the certificate authority issued cannot be used")]
    Useless(#[from] Refusal),
    /// Something is wrong with our account.
    #[error("the account at the certificate authority: {0}")]
    Account(&'static str),
    /// It took too long.
    #[error("the certificate authority took too long")]
    Late,
    /// The gateways could not be told.
    #[error("the bus")]
    Bus(#[from] tmtp_bus::Error),
    /// It could not be kept.
    #[error("the store")]
    Store(#[from] tmtp_store::Error),
    /// It could not be sealed.
    #[error("the seal")]
    Seal(#[from] tmtp_seal::Error),
}

impl Error {
    /// What the site's admins are told: what the authority says as it says it, and nothing of what is inside.
    pub fn said(&self) -> String {
        let said = match self {
            Self::Acme(instant_acme::Error::Api(problem)) => {
                format!("the certificate authority refused: {}", words(problem))
            }
            Self::Acme(instant_acme::Error::Timeout(_)) => Self::Late.to_string(),
            Self::Acme(_) => "the certificate authority cannot be reached, or does not speak ACME".to_owned(),
            Self::Useless(refusal) => format!("{self}: {refusal}"),
            Self::Unproved(_) | Self::NoChallenge | Self::Late | Self::Account(_) => self.to_string(),
            Self::Bus(_) | Self::Store(_) | Self::Seal(_) => {
                "an error of the server, which is logged".to_owned()
            }
        };
        said.chars().take(SAID_MAX).collect()
    }

    /// Whether the authority wants fewer orders.
    pub fn is_too_much(&self) -> bool {
        self.is_of_type("rateLimited")
    }

    /// Whether the authority does not know who we are.
    pub fn is_about_the_account(&self) -> bool {
        self.is_of_type("accountDoesNotExist")
    }

    fn is_of_type(&self, name: &str) -> bool {
        let Self::Acme(instant_acme::Error::Api(problem)) = self else { return false };
        let of_acme = problem.r#type.as_deref().and_then(|it| it.strip_prefix("urn:ietf:params:acme:error:"));
        of_acme == Some(name)
    }
}

/// Orders a certificate for one domain. The gateways answer the authority until the caller withdraws the challenge.
pub async fn order(account: &Account, bus: &Bus, domain: &str) -> Result<Issued, Error> {
    let identifiers = [Identifier::Dns(domain.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    prove(&mut order, bus, domain).await?;
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&policy()).await?;
    Ok(Issued { chain, key })
}

/// Proves that the domain is ours, unless the authority still remembers that.
async fn prove(order: &mut Order, bus: &Bus, domain: &str) -> Result<(), Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization.challenge(ChallengeType::TlsAlpn01).ok_or(Error::NoChallenge)?;
        let digest = challenge.key_authorization().digest();
        let answer: [u8; CHALLENGE_LEN] =
            digest.as_ref().try_into().map_err(|_| Error::Account("a digest of another length"))?;
        bus.offer_challenge(domain, &answer, CHALLENGE_KEPT).await?;
        challenge.set_ready().await?;
    }
    match order.poll_ready(&policy()).await {
        Ok(OrderStatus::Ready | OrderStatus::Valid) => Ok(()),
        Ok(_) => Err(Error::Unproved(why(order).await.unwrap_or_else(|| "it does not say why".to_owned()))),
        Err(error) => match why(order).await {
            Some(why) => Err(Error::Unproved(why)),
            None => Err(error.into()),
        },
    }
}

/// What the authority says about the challenges that failed.
async fn why(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let failed = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = failed {
            return Some(words(problem));
        }
    }
    None
}

fn words(problem: &Problem) -> String {
    let mut words = problem.detail.clone().unwrap_or_else(|| "without a reason".to_owned());
    for more in problem.subproblems.iter().filter_map(|problem| problem.detail.as_deref()) {
        words = format!("{words}; {more}");
    }
    words
}

fn policy() -> RetryPolicy {
    RetryPolicy::new().timeout(PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(r#type: &str) -> Error {
        let problem = serde_json::json!({
            "type": format!("urn:ietf:params:acme:error:{type}"), "detail": "no", "subproblems": [{"detail": "nor so"}],
        });
        Error::Acme(instant_acme::Error::Api(serde_json::from_value(problem).unwrap()))
    }

    /// Goal: admins are told what the authority says, and nothing of what is inside; method: an error of each kind.
    #[test]
    fn what_is_said() {
        assert_eq!(refused("caa").said(), "the certificate authority refused: no; nor so");
        assert_eq!(
            Error::Unproved("no route".into()).said(),
            "the certificate authority could not verify the domain: no route"
        );
        let inside = Error::Store(tmtp_store::Error::Unreadable("secret table".into()));
        assert!(!inside.said().contains("secret"));
        assert_eq!(Error::Unproved("x".repeat(5_000)).said().len(), SAID_MAX);
    }

    /// Goal: what needs more than another attempt is told apart; method: problems of the three kinds.
    #[test]
    fn kinds() {
        let kinds = |error: &Error| (error.is_too_much(), error.is_about_the_account());
        assert_eq!(kinds(&refused("rateLimited")), (true, false));
        assert_eq!(kinds(&refused("accountDoesNotExist")), (false, true));
        assert_eq!(kinds(&refused("dns")), (false, false));
        assert_eq!(kinds(&Error::Late), (false, false));
    }
}
