//! Providers as the API shows and takes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tmtp_domain::{ClaimRules, Endpoint, Provider, ProviderKind};
use tmtp_store::ProviderRecord;
use utoipa::ToSchema;

use crate::api::time::Time;

/// Whose sign-in tokens a site takes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct OidcProvider {
    /// Unique in its site.
    pub(super) id: String,
    #[serde(flatten)]
    pub(super) settings: OidcSettings,
    created_at: Time,
    changed_at: Time,
    /// Keys that were fetched before this are fetched again before the next token is checked.
    #[schema(required = true)]
    keys_since: Option<Time>,
}

/// What can be changed about a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OidcSettings {
    /// What people see, such as `Sign in with Acme`.
    #[schema(min_length = 1, max_length = 2048)]
    pub(super) label: String,
    /// The `iss` of its tokens, to the letter.
    #[schema(max_length = 2048, example = "https://id.example")]
    pub(super) issuer: String,
    /// Where clients send their users.
    pub(super) authorize: OidcEndpoint,
    /// Where clients get the token.
    pub(super) token: OidcEndpoint,
    /// Where its keys are.
    #[schema(max_length = 2048)]
    pub(super) jwks_uri: String,
    /// Whom its tokens must be for: one of these client ids.
    #[schema(min_items = 1, max_items = 20)]
    pub(super) audiences: Vec<String>,
    /// What its claims are taken for.
    #[serde(default)]
    pub(super) claims: OidcClaims,
    /// The `nonce` that a token must repeat: letters and digits. The same has to be among the parameters of `authorize`.
    #[serde(default)]
    #[schema(required = true)]
    pub(super) nonce: Option<String>,
}

/// An address that clients call, with what they add to it. Every client is told it: it must hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OidcEndpoint {
    /// Without a query.
    #[schema(max_length = 2048)]
    url: String,
    /// Each `name=value`, encoded as in a query.
    #[serde(default)]
    #[schema(max_items = 20, example = json!(["response_type=code", "client_id=1"]))]
    params: Vec<String>,
}

/// What a provider's claims are taken for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OidcClaims {
    /// The claim that is the member's alias; tokens without it are refused then.
    #[schema(required = true)]
    alias: Option<String>,
    /// If any are given: `hd`, or the domain of a verified `email`, must be one of them. Lower case.
    #[schema(max_items = 20)]
    domains: Vec<String>,
    /// Claims that must have exactly this text.
    required: BTreeMap<String, String>,
}

impl OidcProvider {
    pub(super) fn of(record: &ProviderRecord) -> Self {
        Self {
            id: record.provider.id.clone(),
            settings: OidcSettings::of(&record.provider),
            created_at: Time(record.created_at),
            changed_at: Time(record.changed_at),
            keys_since: (record.provider.keys_since > 0)
                .then(|| Time(record.provider.keys_since.saturating_mul(1_000))),
        }
    }
}

impl OidcSettings {
    pub(super) fn of(provider: &Provider) -> Self {
        let ClaimRules { alias, domains, required } = provider.claims.clone();
        Self {
            label: provider.label.clone(),
            issuer: provider.issuer.clone(),
            authorize: provider.authorize.clone().into(),
            token: provider.token.clone().into(),
            jwks_uri: provider.jwks_uri.clone(),
            audiences: provider.audiences.clone(),
            claims: OidcClaims { alias, domains, required },
            nonce: provider.nonce.clone(),
        }
    }

    pub(super) fn provider(self, id: String, keys_since: i64) -> Provider {
        let OidcClaims { alias, domains, required } = self.claims;
        Provider {
            id,
            label: self.label,
            kind: ProviderKind::Foreign,
            issuer: self.issuer,
            authorize: self.authorize.into(),
            token: self.token.into(),
            jwks_uri: self.jwks_uri,
            audiences: self.audiences,
            claims: ClaimRules { alias, domains, required },
            nonce: self.nonce,
            keys_since,
        }
    }
}

impl OidcEndpoint {
    pub(super) fn new(url: String, params: Vec<String>) -> Self {
        Self { url, params }
    }
}

impl From<Endpoint> for OidcEndpoint {
    fn from(Endpoint { url, params }: Endpoint) -> Self {
        Self { url, params }
    }
}

impl From<OidcEndpoint> for Endpoint {
    fn from(OidcEndpoint { url, params }: OidcEndpoint) -> Self {
        Self { url, params }
    }
}
