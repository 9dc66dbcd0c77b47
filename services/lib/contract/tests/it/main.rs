//! Tests of the encoding: the stored octets of every shipped version, what readers tolerate, what they refuse.
//! They must never need another process or a service.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod cases;
mod generate;
mod golden;
mod octets;
mod properties;
mod tolerance;
