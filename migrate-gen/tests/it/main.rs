//! The text of the migrations, the command that writes them, and whether databases run them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, helpers too")]

mod command;
mod golden;
mod mysql;
mod postgres;
mod sqlite;
mod write;
