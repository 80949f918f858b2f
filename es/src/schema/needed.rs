//! The tables, columns, keys and rights that the library uses.

use super::{SqlName, TableNames};

/// What a column holds. Each database has types of its own for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnKind {
    /// The number by which the database orders the log.
    Number,
    /// A position, a version of a stream, an epoch: 64 bits.
    Long,
    /// A small number: 32 bits.
    Integer,
    /// The slot of a stream: 16 bits.
    Slot,
    /// Yes or no.
    Flag,
    /// A name or id that is compared byte for byte.
    Name,
    /// A text that is only shown.
    Text,
    /// A UUID.
    Uuid,
    /// The bytes of a payload.
    Bytes,
    /// JSON, as the application wrote it.
    Json,
    /// A moment, to the microsecond.
    Time,
}

/// What an insert of the library says about a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    /// A value.
    Value,
    /// A value or null.
    ValueOrNull,
    /// Nothing, so the database must know a value.
    Nothing,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct NeededColumn {
    pub(super) name: &'static str,
    pub(super) kind: ColumnKind,
    pub(super) given: Given,
}

/// What the library does to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    /// The database numbers the rows: nobody else may.
    Log,
    Register,
    Change,
}

#[derive(Debug, Clone)]
pub(super) struct NeededTable {
    pub(super) name: SqlName,
    /// `table`, or what else it is.
    pub(super) kind: &'static str,
    /// The method of [`TableNames`] that names it, if it has a name of its own.
    pub(super) named_by: Option<&'static str>,
    pub(super) columns: &'static [NeededColumn],
    pub(super) keys: &'static [&'static [&'static str]],
    pub(super) usage: Use,
}

/// The column by which the log is ordered, which only the database sets.
pub(super) const NUMBER_COLUMN: &str = "global_position";

const fn column(name: &'static str, kind: ColumnKind) -> NeededColumn {
    NeededColumn { name, kind, given: Given::Value }
}

const fn optional(name: &'static str, kind: ColumnKind) -> NeededColumn {
    NeededColumn { name, kind, given: Given::ValueOrNull }
}

const fn defaulted(name: &'static str, kind: ColumnKind) -> NeededColumn {
    NeededColumn { name, kind, given: Given::Nothing }
}

const EVENTS: &[NeededColumn] = &[
    defaulted(NUMBER_COLUMN, ColumnKind::Number),
    column("bounded_context", ColumnKind::Name),
    column("aggregate_type", ColumnKind::Name),
    column("aggregate_id", ColumnKind::Name),
    column("aggregate_version", ColumnKind::Long),
    column("slot", ColumnKind::Slot),
    column("event_id", ColumnKind::Uuid),
    column("event_type", ColumnKind::Name),
    column("event_version", ColumnKind::Integer),
    column("payload", ColumnKind::Bytes),
    optional("metadata", ColumnKind::Json),
    optional("correlation_id", ColumnKind::Name),
    optional("causation_id", ColumnKind::Name),
    optional("trace_id", ColumnKind::Name),
    column("created_at", ColumnKind::Time),
    defaulted("recorded_at", ColumnKind::Time),
];

const EVENTS_KEYS: &[&[&str]] = &[
    &[NUMBER_COLUMN],
    &["bounded_context", "aggregate_type", "aggregate_id", "aggregate_version"],
    &["event_id"],
];

const PROJECTIONS: &[NeededColumn] = &[
    column("name", ColumnKind::Name),
    column("partition_total", ColumnKind::Integer),
    defaulted("is_paused", ColumnKind::Flag),
    optional("rescale_to", ColumnKind::Integer),
];

const CHECKPOINTS: &[NeededColumn] = &[
    column("projection", ColumnKind::Name),
    column("partition_index", ColumnKind::Integer),
    column("position", ColumnKind::Long),
    column("updated_at", ColumnKind::Time),
    defaulted("epoch", ColumnKind::Long),
    defaulted("replay_until", ColumnKind::Long),
    optional("stop_at", ColumnKind::Long),
    optional("owner", ColumnKind::Name),
    optional("lease_until", ColumnKind::Time),
    defaulted("attempts", ColumnKind::Integer),
    optional("failing_position", ColumnKind::Long),
    optional("attempt_began_at", ColumnKind::Time),
    optional("last_error", ColumnKind::Text),
];

const WORKERS: &[NeededColumn] = &[
    column("projection", ColumnKind::Name),
    column("worker_id", ColumnKind::Name),
    column("alive_until", ColumnKind::Time),
];

const DEAD_LETTERS: &[NeededColumn] = &[
    column("projection", ColumnKind::Name),
    column("position", ColumnKind::Long),
    column("bounded_context", ColumnKind::Name),
    column("aggregate_type", ColumnKind::Name),
    column("aggregate_id", ColumnKind::Name),
    column("slot", ColumnKind::Slot),
    column("attempts", ColumnKind::Integer),
    optional("error", ColumnKind::Text),
    column("parked_at", ColumnKind::Time),
];

const APPENDERS: &[NeededColumn] = &[
    column("connection_id", ColumnKind::Long),
    column("seq", ColumnKind::Long),
    column("low_position", ColumnKind::Long),
    column("first_low_position", ColumnKind::Long),
    column("announced_at", ColumnKind::Time),
];

const SCHEMA_VERSIONS: &[NeededColumn] = &[column("version", ColumnKind::Integer)];

/// Every table of a store, the events first, and the sequence last.
pub(super) fn tables(
    names: &TableNames,
    has_appenders: bool,
    has_sequence: bool,
) -> Vec<NeededTable> {
    let table = |name, named_by, columns, keys, usage| NeededTable {
        name,
        kind: "table",
        named_by,
        columns,
        keys,
        usage,
    };
    let by = Some;
    let mut tables = vec![
        table(names.events().clone(), by("with_events"), EVENTS, EVENTS_KEYS, Use::Log),
        table(names.schema_versions(), None, SCHEMA_VERSIONS, &[], Use::Read),
        table(
            names.projections().clone(),
            by("with_projections"),
            PROJECTIONS,
            &[&["name"]],
            Use::Register,
        ),
        table(
            names.checkpoints().clone(),
            by("with_checkpoints"),
            CHECKPOINTS,
            &[&["projection", "partition_index"]],
            Use::Change,
        ),
        table(names.workers(), None, WORKERS, &[&["projection", "worker_id"]], Use::Change),
        table(
            names.dead_letters(),
            None,
            DEAD_LETTERS,
            &[&["projection", "position"]],
            Use::Change,
        ),
    ];
    if has_appenders {
        tables.push(table(names.appenders(), None, APPENDERS, &[&["connection_id"]], Use::Change));
    }
    if has_sequence {
        let sequence = table(names.sequence(), None, &[], &[], Use::Read);
        tables.push(NeededTable { kind: "sequence", ..sequence });
    }
    tables
}
