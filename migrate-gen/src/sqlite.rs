//! The schema as `SQLite` understands it.

use std::collections::BTreeSet;

use es::adapter::SCHEMA_VERSION;
use es::{SqlName, TableNames};

use crate::{Database, OptionalIndex, Schema, SchemaError};

/// `SQLite` refuses to create anything whose name begins so, in either case.
const RESERVED_PREFIX: &str = "sqlite_";

pub(crate) fn render(schema: &Schema) -> Result<String, SchemaError> {
    check_options(schema)?;
    let Schema { tables, indexes, .. } = schema;
    check_names(tables)?;
    let mut parts = vec![header(), events(tables), stream_key(tables), event_id_key(tables)];
    parts.extend(indexes.iter().map(|index| optional_index(*index, tables)));
    parts.extend([
        projections(tables),
        checkpoints(tables),
        workers(tables),
        dead_letters(tables),
        dead_letters_queue_idx(tables),
        schema_versions(tables),
        insert_schema_version(tables),
    ]);
    Ok(parts.join("\n"))
}

fn check_options(schema: &Schema) -> Result<(), SchemaError> {
    let database = Database::Sqlite;
    if let Some(schema) = schema.tables.schema() {
        return Err(SchemaError::SchemasUnsupported { database, schema: schema.clone() });
    }
    if schema.append_only {
        return Err(SchemaError::AppendOnlyUnsupported { database });
    }
    if schema.notify {
        return Err(SchemaError::NotifyUnsupported { database });
    }
    if let Some(role) = schema.roles.first() {
        return Err(SchemaError::RolesUnsupported { database, role: role.clone() });
    }
    Ok(())
}

fn check_names(tables: &TableNames) -> Result<(), SchemaError> {
    let names = [
        tables.events().clone(),
        tables.projections().clone(),
        tables.checkpoints().clone(),
        tables.workers(),
        tables.dead_letters(),
        tables.schema_versions(),
    ];
    // SQLite folds the case of ASCII letters in names, even of those in quotes.
    let mut seen = BTreeSet::new();
    for name in names {
        let folded = name.as_str().to_ascii_lowercase();
        if folded.starts_with(RESERVED_PREFIX) {
            return Err(SchemaError::ReservedName { database: Database::Sqlite, name });
        }
        if !seen.insert(folded) {
            return Err(SchemaError::DuplicateName { name });
        }
    }
    Ok(())
}

fn header() -> String {
    format!(include_str!("../sql/sqlite/header.sql"), schema_version = SCHEMA_VERSION)
}

fn events(tables: &TableNames) -> String {
    format!(include_str!("../sql/sqlite/events.sql"), events = tables.events())
}

fn stream_key(tables: &TableNames) -> String {
    format!(include_str!("../sql/sqlite/events_stream_key.sql"), events = tables.events())
}

fn event_id_key(tables: &TableNames) -> String {
    format!(include_str!("../sql/sqlite/events_event_id_key.sql"), events = tables.events())
}

fn optional_index(index: OptionalIndex, tables: &TableNames) -> String {
    let events: &SqlName = tables.events();
    match index {
        OptionalIndex::EventType => {
            format!(include_str!("../sql/sqlite/events_event_type_idx.sql"), events = events)
        }
        OptionalIndex::CorrelationId => {
            format!(include_str!("../sql/sqlite/events_correlation_id_idx.sql"), events = events)
        }
        OptionalIndex::CreatedAt => {
            format!(include_str!("../sql/sqlite/events_created_at_idx.sql"), events = events)
        }
    }
}

fn projections(tables: &TableNames) -> String {
    format!(include_str!("../sql/sqlite/projections.sql"), projections = tables.projections())
}

fn checkpoints(tables: &TableNames) -> String {
    format!(
        include_str!("../sql/sqlite/projection_checkpoints.sql"),
        checkpoints = tables.checkpoints(),
        projections = tables.projections(),
    )
}

fn workers(tables: &TableNames) -> String {
    format!(include_str!("../sql/sqlite/projection_workers.sql"), workers = tables.workers())
}

fn dead_letters(tables: &TableNames) -> String {
    format!(
        include_str!("../sql/sqlite/projection_dead_letters.sql"),
        dead_letters = tables.dead_letters(),
    )
}

fn dead_letters_queue_idx(tables: &TableNames) -> String {
    format!(
        include_str!("../sql/sqlite/projection_dead_letters_queue_idx.sql"),
        dead_letters = tables.dead_letters(),
    )
}

fn schema_versions(tables: &TableNames) -> String {
    format!(
        include_str!("../sql/sqlite/schema_versions.sql"),
        schema_versions = tables.schema_versions(),
    )
}

fn insert_schema_version(tables: &TableNames) -> String {
    format!(
        include_str!("../sql/sqlite/insert_schema_version.sql"),
        schema_versions = tables.schema_versions(),
        schema_version = SCHEMA_VERSION,
    )
}
