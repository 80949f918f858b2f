//! Event sourcing inside the caller's own database transaction: types, contracts, decisions.
//!
//! This crate names no database. It holds
//!
//! - the values: [`Event`], [`PersistedEvent`], [`StreamId`], [`Version`], [`Position`],
//!   [`ExpectedVersion`], [`AppendResult`], [`Stream`];
//! - the contracts an adapter fulfils: [`EventStore`], [`CheckpointStore`],
//!   [`ProjectionStore`], [`EventSource`];
//! - the decisions every adapter shares: what a rejected append means ([`RejectedAppend`]),
//!   how far one read of the log may go ([`ReadWindow`]), which partition a stream belongs to
//!   ([`Slot`], [`Partition`]).
//!
//! Features: `memory` adds `memory::MemoryStore`, a transactional store for unit tests;
//! `conformance` adds the clauses every store must hold, in the module `conformance`.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod append;
mod checkpoint;
mod error;
mod event;
mod filter;
mod identifier;
mod import;
mod partition;
mod persisted_event;
mod position;
mod projection_state;
mod projection_store;
mod read;
mod rows;
mod schema;
mod source;
mod store;
mod stream;
mod version;

pub mod adapter;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "memory")]
pub mod memory;

pub use append::{
    ANY_ATTEMPTS_MAX, APPEND_BYTES_MAX, APPEND_EVENTS_MAX, AppendResult, AppendStatements,
    ExistingEvent, InsertedEvents, Insertion, InvalidAppend, METADATA_BYTES_MAX, PAYLOAD_BYTES_MAX,
    RejectedAppend, append_guarded, validate_append,
};
pub use checkpoint::{
    Checkpoint, CheckpointError, CheckpointMove, CheckpointStore, Epoch, PartitionCheckpoint,
    ProjectionName,
};
pub use error::{AppendError, Cause, StoreError, TransactionEnded, TransactionState, cause};
pub use event::{Event, InvalidEvent};
pub use filter::EventFilter;
pub use identifier::{IDENTIFIER_BYTES_MAX, InvalidIdentifier};
pub use import::{ImportError, ImportResult, ImportStatements, NumberedEvent, import_numbered};
pub use partition::{InvalidPartition, Partition, SLOT_COUNT, Slot};
pub use persisted_event::{DecodeError, EventRecord, PersistedEvent, SharedStrings};
pub use position::{NegativeNumber, Position};
pub use projection_state::{
    Attempt, DeadLetter, ERROR_BYTES_MAX, PartitionSeed, PartitionState, ProjectionState, WorkerId,
    error_text,
};
pub use projection_store::ProjectionStore;
pub use read::{
    EventBatch, Horizon, HorizonHolder, ReadLimit, ReadWindow, WindowEvents, dense_prefix_length,
};
pub use schema::{
    ColumnKind, FoundSchema, InvalidTableName, SCHEMA_VERSION, SchemaNeeds, SqlName, TableNames,
    check_log_schema, check_schema, check_schema_version,
};
pub use source::{EventSource, TRANSACTION_TIME_MAX};
pub use store::EventStore;
pub use stream::{Stream, StreamId};
pub use version::{ExpectedVersion, Version, VersionRange};
