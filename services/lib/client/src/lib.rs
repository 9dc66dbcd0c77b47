//! A small TMTP client for tools, tests and load: one connection, requests out, frames in.
//! It must never reconnect, resend or acknowledge by itself: what happens on the link is the caller's story.
//!
//! [`Client`] does the usual things in order (register, log in, post and wait for the ack). Whoever wants to send and
//! receive at the same time takes it apart with [`Client::split`]. No call has a deadline of its own; wrap it in
//! `tokio::time::timeout`. Every call that only receives is cancel safe, if nothing else is said.

mod client;
mod error;
mod receiver;
mod sender;
mod tls;

pub use client::{Account, Client, Greeting, LoginInfo};
pub use error::Error;
pub use receiver::{ASIDE_MAX, DATA_MAX, Frame, Receipt, Receiver};
pub use sender::Sender;
pub use tls::{Connect, Trust};
