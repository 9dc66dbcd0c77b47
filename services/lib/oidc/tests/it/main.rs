//! Tokens and keys against a provider that the test runs itself, over HTTP. Signatures are made without the library
//! that checks them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod announced;
mod junk;
mod keys;
mod provider;
mod tokens;
