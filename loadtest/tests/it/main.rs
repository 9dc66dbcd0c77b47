//! The scenarios against a toy server that is right, or wrong in one way at a time. It must never need the real
//! cluster: what is tested here is whether the books would notice.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod drain;
mod idle;
mod pairs;
mod toy;
