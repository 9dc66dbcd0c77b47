//! The compiled admin server from outside: its commands, its ports, its end.
//!
//! Nothing here may use a fixed port or a server that the test kit did not start.

mod api;
mod commands;
mod process;
mod serving;
