//! `tmtpctl` as a program, from its command line to its exit code. It must never touch a database but its own.

mod database;
