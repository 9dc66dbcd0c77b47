//! From a token to an identity.

use tmtp_domain::{Identity, Provider};

use crate::token::Token;
use crate::{Error, KeySet, Keys, claims};

/// Checks tokens, with keys that it fetches and keeps. Cheap to clone.
#[derive(Clone)]
pub struct Verifier {
    keys: Keys,
}

impl Verifier {
    /// A verifier with these keys.
    pub fn new(keys: Keys) -> Self {
        Self { keys }
    }

    /// The keys, for their state.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whose token this is. `now` is in seconds since 1970. Fetches keys only for tokens that are right in all else
    /// that can be seen without them.
    pub async fn verify(&self, token: &str, providers: &[Provider], now: i64) -> Result<Identity, Error> {
        let parsed = Token::parse(token)?;
        let provider = claims::provider_of(&parsed, providers)?;
        claims::check(&parsed, provider, now)?;
        let keys = self
            .keys
            .since(&provider.jwks_uri, &parsed.key_id, provider.keys_since)
            .await
            .ok_or(Error::NoKeys)?;
        check_parsed(&parsed, provider, &keys, now)
    }
}

/// Whose token this is, given the keys of the provider that it claims to be of; pure. `now` is in seconds since 1970.
pub fn check(token: &str, providers: &[Provider], keys: &KeySet, now: i64) -> Result<Identity, Error> {
    let token = Token::parse(token)?;
    let provider = claims::provider_of(&token, providers)?;
    check_parsed(&token, provider, keys, now)
}

fn check_parsed(token: &Token<'_>, provider: &Provider, keys: &KeySet, now: i64) -> Result<Identity, Error> {
    let key = keys.find(&token.key_id, token.algorithm).ok_or(Error::UnknownKey)?;
    let signed = token.signed.as_bytes();
    match jsonwebtoken::crypto::verify(token.signature, signed, key, token.algorithm) {
        Ok(true) => claims::check(token, provider, now),
        Ok(false) | Err(_) => Err(Error::Signature),
    }
}
