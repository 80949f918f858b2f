//! Writes the event store's tables as plain SQL: a library, and the command `migrate-gen`.
//!
#![doc = include_str!("../README.md")]

mod schema;
mod sqlite;
mod write;

pub use es::{Database, InvalidTableName, SCHEMA_VERSION, SqlName, TableNames};

pub use schema::{OptionalIndex, Schema, SchemaError};
pub use write::{ExistingFile, WriteError, Written};
