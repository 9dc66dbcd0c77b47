//! Certificates of sites: what is brought is checked before it is kept, and what is ordered is renewed in time.
//!
//! A private key must never be logged, answered, or kept unsealed.

mod check;
pub(crate) mod endpoints;
mod expiry;
mod keep;

pub use check::{Checked, Refusal, Warning, check};
pub(crate) use expiry::{now_ms, watch};
pub use keep::prepare;
