//! The schema as PostgreSQL understands it.

use es::adapter::SCHEMA_VERSION;
use es::{SqlName, TableNames};

use crate::{Database, OptionalIndex, Schema, SchemaError};

/// PostgreSQL refuses schemas and roles whose names begin so. A table may have such a name, but a
/// catalog of the same name would be found first.
const RESERVED_PREFIX: &str = "pg_";

/// Key words among the roles even in quotes; a grant to `public` would be one to every role.
const RESERVED_ROLES: [&str; 2] = ["public", "none"];

/// The indexes and the sequence of the events table. They share one namespace with the tables.
const EVENTS_SUFFIXES: [&str; 7] = [
    "_pkey",
    "_stream_key",
    "_event_id_key",
    "_global_position_seq",
    "_event_type_idx",
    "_correlation_id_idx",
    "_created_at_idx",
];

const PRIMARY_KEY_SUFFIX: &str = "_pkey";

/// The index of the dead letters.
const DEAD_LETTERS_SUFFIX: &str = "_queue_idx";

pub(crate) fn render(schema: &Schema) -> Result<String, SchemaError> {
    check_names(schema)?;
    let names = Names { tables: &schema.tables };
    let mut parts = vec![header()];
    parts.extend(schema.tables.schema().map(create_schema));
    parts.push(events(names));
    parts.extend(schema.indexes.iter().map(|index| optional_index(*index, names)));
    if schema.append_only {
        parts.extend(append_only(names));
    }
    if schema.notify {
        parts.extend(notify(names));
    }
    parts.extend([
        projections(names),
        checkpoints(names),
        workers(names),
        dead_letters(names),
        dead_letters_queue_idx(names),
        schema_versions(names),
        insert_schema_version(names),
    ]);
    if !schema.roles.is_empty() {
        parts.extend(grants(names, &schema.roles));
    }
    Ok(parts.join("\n"))
}

fn check_names(schema: &Schema) -> Result<(), SchemaError> {
    let tables = &schema.tables;
    let table_names = [
        tables.events().clone(),
        tables.projections().clone(),
        tables.checkpoints().clone(),
        tables.workers(),
        tables.dead_letters(),
        tables.schema_versions(),
    ];
    let mut reserved = table_names.iter().chain(tables.schema()).chain(&schema.roles);
    if let Some(name) = reserved.find(|name| name.as_str().starts_with(RESERVED_PREFIX)) {
        return Err(reserved_name(name));
    }
    if let Some(role) = schema.roles.iter().find(|role| RESERVED_ROLES.contains(&role.as_str())) {
        return Err(reserved_name(role));
    }
    let mut taken: Vec<String> =
        EVENTS_SUFFIXES.iter().map(|suffix| format!("{}{suffix}", tables.events())).collect();
    taken.push(format!("{}{DEAD_LETTERS_SUFFIX}", tables.dead_letters()));
    taken.extend(table_names.iter().map(|name| format!("{name}{PRIMARY_KEY_SUFFIX}")));
    for name in table_names {
        // PostgreSQL keeps the case of names in quotes, so "Log" and "log" are two tables.
        if taken.iter().any(|taken| taken == name.as_str()) {
            return Err(SchemaError::DuplicateName { name });
        }
        taken.push(name.as_str().to_owned());
    }
    Ok(())
}

fn reserved_name(name: &SqlName) -> SchemaError {
    SchemaError::ReservedName { database: Database::Postgres, name: name.clone() }
}

/// The names as statements need them: in quotes, and with the schema if there is one.
#[derive(Clone, Copy)]
struct Names<'a> {
    tables: &'a TableNames,
}

impl<'a> Names<'a> {
    fn events(self) -> String {
        self.qualified(self.tables.events())
    }

    /// What the names of indexes, constraints and triggers begin with: these have no schema of
    /// their own.
    fn events_name(self) -> &'a SqlName {
        self.tables.events()
    }

    fn sequence(self) -> String {
        self.qualified(format_args!("{}_global_position_seq", self.tables.events()))
    }

    fn append_only_function(self) -> String {
        self.qualified(format_args!("{}_append_only", self.tables.events()))
    }

    fn notify_function(self) -> String {
        self.qualified(format_args!("{}_notify", self.tables.events()))
    }

    fn projections(self) -> String {
        self.qualified(self.tables.projections())
    }

    fn checkpoints(self) -> String {
        self.qualified(self.tables.checkpoints())
    }

    fn workers(self) -> String {
        self.qualified(self.tables.workers())
    }

    fn dead_letters(self) -> String {
        self.qualified(self.tables.dead_letters())
    }

    fn schema_versions(self) -> String {
        self.qualified(self.tables.schema_versions())
    }

    fn qualified(self, name: impl std::fmt::Display) -> String {
        match self.tables.schema() {
            Some(schema) => format!("\"{schema}\".\"{name}\""),
            None => format!("\"{name}\""),
        }
    }
}

fn quoted(name: &SqlName) -> String {
    format!("\"{name}\"")
}

fn header() -> String {
    format!(include_str!("../sql/postgres/header.sql"), schema_version = SCHEMA_VERSION)
}

fn create_schema(schema: &SqlName) -> String {
    format!(include_str!("../sql/postgres/create_schema.sql"), schema = quoted(schema))
}

fn events(names: Names<'_>) -> String {
    format!(
        include_str!("../sql/postgres/events.sql"),
        events = names.events(),
        events_name = names.events_name(),
        sequence = names.sequence(),
    )
}

fn optional_index(index: OptionalIndex, names: Names<'_>) -> String {
    let (events, events_name) = (names.events(), names.events_name());
    match index {
        OptionalIndex::EventType => format!(
            include_str!("../sql/postgres/events_event_type_idx.sql"),
            events = events,
            events_name = events_name,
        ),
        OptionalIndex::CorrelationId => format!(
            include_str!("../sql/postgres/events_correlation_id_idx.sql"),
            events = events,
            events_name = events_name,
        ),
        OptionalIndex::CreatedAt => format!(
            include_str!("../sql/postgres/events_created_at_idx.sql"),
            events = events,
            events_name = events_name,
        ),
    }
}

fn append_only(names: Names<'_>) -> [String; 2] {
    let function = names.append_only_function();
    [
        format!(include_str!("../sql/postgres/append_only_function.sql"), function = function),
        format!(
            include_str!("../sql/postgres/append_only_trigger.sql"),
            events = names.events(),
            events_name = names.events_name(),
            function = function,
        ),
    ]
}

fn notify(names: Names<'_>) -> [String; 2] {
    let function = names.notify_function();
    [
        format!(include_str!("../sql/postgres/notify_function.sql"), function = function),
        format!(
            include_str!("../sql/postgres/notify_trigger.sql"),
            events = names.events(),
            events_name = names.events_name(),
            function = function,
        ),
    ]
}

fn projections(names: Names<'_>) -> String {
    format!(include_str!("../sql/postgres/projections.sql"), projections = names.projections())
}

fn checkpoints(names: Names<'_>) -> String {
    format!(
        include_str!("../sql/postgres/projection_checkpoints.sql"),
        checkpoints = names.checkpoints(),
        projections = names.projections(),
    )
}

fn workers(names: Names<'_>) -> String {
    format!(include_str!("../sql/postgres/projection_workers.sql"), workers = names.workers())
}

fn dead_letters(names: Names<'_>) -> String {
    format!(
        include_str!("../sql/postgres/projection_dead_letters.sql"),
        dead_letters = names.dead_letters(),
    )
}

fn dead_letters_queue_idx(names: Names<'_>) -> String {
    format!(
        include_str!("../sql/postgres/projection_dead_letters_queue_idx.sql"),
        dead_letters = names.dead_letters(),
        dead_letters_name = names.tables.dead_letters(),
    )
}

fn schema_versions(names: Names<'_>) -> String {
    format!(
        include_str!("../sql/postgres/schema_versions.sql"),
        schema_versions = names.schema_versions(),
    )
}

fn insert_schema_version(names: Names<'_>) -> String {
    format!(
        include_str!("../sql/postgres/insert_schema_version.sql"),
        schema_versions = names.schema_versions(),
        schema_version = SCHEMA_VERSION,
    )
}

/// One grant of each kind, to all the roles.
fn grants(names: Names<'_>, roles: &[SqlName]) -> Vec<String> {
    let roles = roles.iter().map(quoted).collect::<Vec<_>>().join(", ");
    let mut grants = vec![grants_header().to_owned()];
    grants.extend(names.tables.schema().map(|schema| {
        format!(
            include_str!("../sql/postgres/grant_schema.sql"),
            schema = quoted(schema),
            roles = roles,
        )
    }));
    grants.extend([
        format!(
            include_str!("../sql/postgres/grant_events.sql"),
            events = names.events(),
            roles = roles,
        ),
        format!(
            include_str!("../sql/postgres/grant_sequence.sql"),
            sequence = names.sequence(),
            roles = roles,
        ),
        format!(
            include_str!("../sql/postgres/grant_projections.sql"),
            projections = names.projections(),
            roles = roles,
        ),
        format!(
            include_str!("../sql/postgres/grant_checkpoints.sql"),
            checkpoints = names.checkpoints(),
            workers = names.workers(),
            dead_letters = names.dead_letters(),
            roles = roles,
        ),
        format!(
            include_str!("../sql/postgres/grant_schema_versions.sql"),
            schema_versions = names.schema_versions(),
            roles = roles,
        ),
    ]);
    grants
}

fn grants_header() -> &'static str {
    include_str!("../sql/postgres/grants_header.sql")
}
