//! What is written for people who run Postern, held against the programs: settings, metrics, commands.

pub mod fences;
pub mod guide;
mod runbook;
mod settings;
