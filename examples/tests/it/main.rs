//! The example programs as their users run them: as processes.
#![expect(clippy::unwrap_used, reason = "a test that cannot do its work must fail at once")]

mod database;
mod documents;
mod errors;
mod interruption;
mod mysql;
mod postgres;
mod program;
mod repository;
mod service;
mod snippets;
mod telemetry;
mod verification;
