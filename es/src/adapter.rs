//! For authors of stores: what an adapter to a database implements and uses.
//!
//! **Not covered by semver.** Nobody but an adapter's crate and the crate `projection` needs it.

pub use crate::append::{AppendStatements, InsertedEvents, Insertion, append_guarded};
pub use crate::cause::cause;
pub use crate::checkpoint::{
    Checkpoint, CheckpointMove, CheckpointStore, Epoch, PartitionCheckpoint,
};
pub use crate::error::TransactionEnded;
pub use crate::event_log::{EventLog, read_below, read_dense};
pub use crate::invalid_append::validate_append;
pub use crate::numbered_import::{ImportStatements, NumberedEvent, import_numbered};
pub use crate::persisted_event::{EventRecord, SharedStrings};
pub use crate::projection_sql;
pub use crate::projection_state::{Attempt, PartitionSeed, error_text};
pub use crate::projection_store::ProjectionStore;
pub use crate::read::{ReadWindow, WindowEvents, dense_prefix_length};
pub use crate::rejected_append::{ExistingEvent, RejectedAppend};
pub use crate::rows::{
    Cell, Column, Kind, PerStatement, Row, RowStore, Statement, Value, with_tables,
};
pub use crate::schema::{
    ColumnKind, FoundSchema, SCHEMA_VERSION, SchemaNeeds, check_log_schema, check_schema,
    check_schema_version,
};
pub use crate::slot::Slot;
pub use crate::source::TRANSACTION_TIME_MAX;
