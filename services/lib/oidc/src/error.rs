//! Why a token is not taken. Clients are told only that it is not; the reason is for the log.

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Larger than any real one.
    #[error("token is too large")]
    TooLarge,
    /// Not three base64url parts with JSON in the first two.
    #[error("token is malformed")]
    Malformed,
    /// Its header asks for something that we do not know, and which must not be ignored.
    #[error("token has critical header fields")]
    Critical,
    /// Signed in a way that is not taken: by a shared secret, not at all, or by something outdated.
    #[error("token is signed with an algorithm that is not accepted")]
    Algorithm,
    /// It does not say with which key it is signed.
    #[error("token names no key")]
    NoKeyId,
    /// None of the site's providers has this issuer.
    #[error("token is of an issuer that is not a provider of the site")]
    Issuer,
    /// For somebody else.
    #[error("token is for another audience")]
    Audience,
    /// The provider's keys could not be fetched, and none are there from earlier.
    #[error("keys of the provider are not available")]
    NoKeys,
    /// The provider has no such key.
    #[error("token is signed with an unknown key")]
    UnknownKey,
    /// The signature is not of this key and text.
    #[error("token has a wrong signature")]
    Signature,
    /// A claim that every token has is missing, or is not of its type.
    #[error("claim {0} is missing or not of its type")]
    Claim(&'static str),
    /// Its time is over.
    #[error("token has expired")]
    Expired,
    /// It would be good for longer than a sign-in token may be.
    #[error("token expires too late")]
    LivesTooLong,
    /// Its time has not come, by its own account.
    #[error("token is of the future")]
    Future,
    /// It does not repeat what the sign-in began with.
    #[error("token has another nonce")]
    Nonce,
    /// Its user is of another organisation.
    #[error("token is of a domain that is not allowed")]
    Domain,
    /// A claim that the provider's rules ask for has not the text that it must have.
    #[error("token lacks a required claim")]
    Required,
    /// The claim that is to be the alias is missing.
    #[error("token has no alias claim")]
    Alias,
}

impl Error {
    /// A word for metrics and logs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Critical => "critical",
            Self::Algorithm => "algorithm",
            Self::NoKeyId => "no_key_id",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::NoKeys => "no_keys",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Claim(_) => "claim",
            Self::Expired => "expired",
            Self::LivesTooLong => "lives_too_long",
            Self::Future => "future",
            Self::Nonce => "nonce",
            Self::Domain => "domain",
            Self::Required => "required",
            Self::Alias => "alias",
        }
    }
}
