//! `git_history` as its user runs it: as a process, on repositories made for the occasion.
#![expect(clippy::unwrap_used, reason = "a test that cannot do its work must fail at once")]

mod database;
mod errors;
mod interruption;
mod mysql;
mod postgres;
mod program;
mod quickstart;
mod repository;
mod stress;
mod verification;
