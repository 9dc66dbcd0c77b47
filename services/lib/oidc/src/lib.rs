//! Sign-in with OpenID Connect providers: is this token genuine, and whose is it?
//!
//! [`Verifier::verify`] takes a token and the site's providers, fetches keys if it has to ([`Keys`]), and decides with
//! a pure function ([`check`]). It never remembers tokens: that one is used only once is for the database to see to
//! ([`tmtp_domain::Identity::token_digest`]). Nothing here may be logged but the reason of an [`Error`].

mod claims;
mod discovery;
mod error;
mod fetch;
mod key_set;
mod keys;
mod token;
mod verifier;

pub use discovery::Discovery;
pub use error::Error;
pub use fetch::{FetchError, Reach};
pub use key_set::KeySet;
pub use keys::{KeyStatus, Keys, Limits};
pub use verifier::{Verifier, check};
