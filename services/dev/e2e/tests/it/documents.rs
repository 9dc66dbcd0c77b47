//! What is written for people who run Postern, held against the programs: settings, metrics, commands.

mod fences;
mod guide;
mod runbook;
mod settings;
