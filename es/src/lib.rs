//! Event sourcing inside the caller's own database transaction: types, contracts, decisions.
//!
//! This crate names no database, and has two faces.
//!
//! The root is for those who write services: what is appended ([`Event`], [`StreamId`],
//! [`ExpectedVersion`]) and what comes back ([`AppendResult`], [`Stream`], [`PersistedEvent`]), by the
//! methods of [`EventStore`]; how the log is read ([`EventFilter`], [`ReadLimit`], [`EventBatch`]);
//! what can go wrong ([`AppendError`], [`StoreError`]). How large things may be says [`limits`].
//!
//! [`adapter`] is for those who bring another database, and is not covered by semver: the contracts it
//! fulfils, and the decisions that all share, such as what a rejected append means
//! ([`adapter::RejectedAppend`]) and how far one read of the log may go ([`adapter::ReadWindow`]).
//!
//! Features: `memory` adds `memory::MemoryStore`, a transactional store for unit tests;
//! `conformance` adds the clauses every store must hold, in the module `conformance`; `serde` lets
//! events, names, filters and states be written and read, and refuses what cannot be.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod append;
mod append_error;
mod append_result;
mod cause;
mod checkpoint;
mod error;
mod event;
mod event_log;
mod filter;
mod identifier;
mod import;
mod invalid_append;
mod numbered_import;
mod partition;
mod partition_count;
mod persisted_event;
mod position;
mod projection_state;
mod projection_store;
mod read;
mod rejected_append;
mod rows;
mod schema;
#[cfg(feature = "serde")]
mod serialized;
mod slot;
mod source;
mod store;
mod stream;
mod stream_id;
mod version;

pub mod adapter;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod limits;
#[cfg(feature = "memory")]
pub mod memory;

pub use append_error::AppendError;
pub use append_result::AppendResult;
pub use checkpoint::{CheckpointError, ProjectionName};
pub use error::{Cause, StoreError, TransactionState};
pub use event::{Event, InvalidEvent};
pub use filter::EventFilter;
pub use identifier::InvalidIdentifier;
pub use import::{ImportError, ImportResult};
pub use invalid_append::InvalidAppend;
pub use partition::Partition;
pub use partition_count::{InvalidPartition, PartitionCount};
pub use persisted_event::{DecodeError, PersistedEvent};
pub use position::{NegativeNumber, Position};
pub use projection_state::{DeadLetter, PartitionState, ProjectionState, WorkerId};
pub use read::{EventBatch, Horizon, HorizonHolder, ReadLimit};
pub use schema::{InvalidTableName, SqlName, TableNames};
pub use source::EventSource;
pub use store::EventStore;
pub use stream::Stream;
pub use stream_id::StreamId;
pub use version::{ExpectedVersion, Version, VersionRange};
