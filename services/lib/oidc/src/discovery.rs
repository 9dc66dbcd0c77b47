//! Discovery: what a provider says of itself, so that nobody has to type it.

use serde::Deserialize;

use crate::{FetchError, Keys};

/// The part of a provider's metadata that matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Discovery {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Where clients send their users.
    pub authorization_endpoint: String,
    /// Where clients get the token.
    pub token_endpoint: String,
    /// Where its keys are.
    pub jwks_uri: String,
}

impl Keys {
    /// Asks an issuer for its metadata, which has to name the same issuer.
    pub async fn discover(&self, issuer: &str) -> Result<Discovery, FetchError> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.fetcher().get(&address).await?;
        let found: Discovery = serde_json::from_slice(&document).map_err(|_| {
            FetchError::Content(
                "the answer is not an OpenID configuration with issuer, endpoints and jwks_uri",
            )
        })?;
        if found.issuer == issuer {
            Ok(found)
        } else {
            Err(FetchError::Content("the configuration found there names another issuer"))
        }
    }
}
