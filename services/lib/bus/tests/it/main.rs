//! The bus on a real Redis: each test has a server of its own, as several of them restart or empty theirs.

mod beats;
mod commands;
mod events;
mod outages;
mod sites;
mod support;
