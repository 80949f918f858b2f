//! Writes the event store's tables as plain SQL: a library, and the command `migrate-gen`.
//!
#![doc = include_str!("../README.md")]

mod database;
mod mysql;
mod postgres;
mod schema;
mod sqlite;
mod write;

pub use database::Database;
pub use es::adapter::SCHEMA_VERSION;
pub use es::{InvalidTableName, SqlName, TableNames};

pub use schema::{OptionalIndex, Schema, SchemaError};
pub use write::{ExistingFile, WriteError, Written};
