//! The bus on a real Redis: each test has a server of its own, as several of them restart or empty theirs.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod beats;
mod certificates;
mod commands;
mod events;
mod outages;
mod sites;
mod support;
mod tls;
