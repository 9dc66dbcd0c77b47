//! The compiled admin server from outside: its commands, its ports, its end.
//!
//! Nothing here may use a fixed port or a server that the test kit did not start.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod api;
mod changes;
mod commands;
mod process;
mod serving;
