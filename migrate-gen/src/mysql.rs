//! The schema as MySQL and MariaDB understand it.

use std::collections::BTreeSet;
use std::fmt;

use es::adapter::SCHEMA_VERSION;
use es::{SqlName, TableNames};

use crate::{Database, OptionalIndex, Schema, SchemaError};

/// The databases of the server itself.
const RESERVED_SCHEMAS: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// Key words among MariaDB's roles even in quotes; a grant to `public` would be one to everybody.
const RESERVED_ROLES: [&str; 2] = ["public", "none"];

pub(crate) fn render(schema: &Schema) -> Result<String, SchemaError> {
    if schema.notify {
        return Err(SchemaError::NotifyUnsupported { database: Database::Mysql });
    }
    check_names(schema)?;
    let names = Names { tables: &schema.tables };
    let mut parts = vec![header()];
    parts.extend(schema.tables.schema().map(create_schema));
    parts.push(events(names));
    parts.extend(schema.indexes.iter().map(|index| optional_index(*index, names)));
    if schema.append_only {
        parts.extend(append_only(names));
    }
    parts.extend([
        appenders(names),
        projections(names),
        checkpoints(names),
        workers(names),
        dead_letters(names),
        schema_versions(names),
        insert_schema_version(names),
    ]);
    if !schema.roles.is_empty() {
        parts.extend(grants(names, &schema.roles));
    }
    Ok(parts.join("\n"))
}

fn check_names(schema: &Schema) -> Result<(), SchemaError> {
    let Schema { tables, roles, .. } = schema;
    if let Some(name) = tables.schema().filter(|name| is_among(name, &RESERVED_SCHEMAS)) {
        return Err(reserved_name(name));
    }
    if let Some(role) = roles.iter().find(|role| is_among(role, &RESERVED_ROLES)) {
        return Err(reserved_name(role));
    }
    let table_names = [
        tables.events().clone(),
        tables.appenders(),
        tables.schema_versions(),
        tables.projections().clone(),
        tables.checkpoints().clone(),
        tables.workers(),
        tables.dead_letters(),
    ];
    // Whether the case of a table's name counts depends on the server, so it never counts here.
    // Indexes have their table's namespace, constraints and triggers each their own.
    let mut seen = BTreeSet::new();
    for name in table_names {
        if !seen.insert(name.as_str().to_ascii_lowercase()) {
            return Err(SchemaError::DuplicateName { name });
        }
    }
    Ok(())
}

fn is_among(name: &SqlName, reserved: &[&str]) -> bool {
    reserved.iter().any(|reserved| reserved.eq_ignore_ascii_case(name.as_str()))
}

fn reserved_name(name: &SqlName) -> SchemaError {
    SchemaError::ReservedName { database: Database::Mysql, name: name.clone() }
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

    /// What the names of the indexes begin with, which have no schema of their own.
    fn events_name(self) -> &'a SqlName {
        self.tables.events()
    }

    fn append_only_trigger(self, verb: &str) -> String {
        self.qualified(format_args!("{}_append_only_{verb}", self.tables.events()))
    }

    fn appenders(self) -> String {
        self.qualified(self.tables.appenders())
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

    fn qualified(self, name: impl fmt::Display) -> String {
        match self.tables.schema() {
            Some(schema) => format!("`{schema}`.`{name}`"),
            None => format!("`{name}`"),
        }
    }
}

fn quoted(name: &SqlName) -> String {
    format!("`{name}`")
}

fn header() -> String {
    format!(include_str!("../sql/mysql/header.sql"), schema_version = SCHEMA_VERSION)
}

fn create_schema(schema: &SqlName) -> String {
    format!(include_str!("../sql/mysql/create_schema.sql"), schema = quoted(schema))
}

fn events(names: Names<'_>) -> String {
    format!(
        include_str!("../sql/mysql/events.sql"),
        events = names.events(),
        events_name = names.events_name(),
    )
}

fn optional_index(index: OptionalIndex, names: Names<'_>) -> String {
    let (events, events_name) = (names.events(), names.events_name());
    match index {
        OptionalIndex::EventType => format!(
            include_str!("../sql/mysql/events_event_type_idx.sql"),
            events = events,
            events_name = events_name,
        ),
        OptionalIndex::CorrelationId => format!(
            include_str!("../sql/mysql/events_correlation_id_idx.sql"),
            events = events,
            events_name = events_name,
        ),
        OptionalIndex::CreatedAt => format!(
            include_str!("../sql/mysql/events_created_at_idx.sql"),
            events = events,
            events_name = events_name,
        ),
    }
}

fn append_only(names: Names<'_>) -> [String; 2] {
    [
        format!(
            include_str!("../sql/mysql/append_only_update_trigger.sql"),
            events = names.events(),
            events_name = names.events_name(),
            trigger = names.append_only_trigger("update"),
        ),
        format!(
            include_str!("../sql/mysql/append_only_delete_trigger.sql"),
            events = names.events(),
            events_name = names.events_name(),
            trigger = names.append_only_trigger("delete"),
        ),
    ]
}

fn appenders(names: Names<'_>) -> String {
    format!(include_str!("../sql/mysql/appenders.sql"), appenders = names.appenders())
}

fn projections(names: Names<'_>) -> String {
    format!(
        include_str!("../sql/mysql/projections.sql"),
        projections = names.projections(),
        projections_name = names.tables.projections(),
    )
}

fn checkpoints(names: Names<'_>) -> String {
    format!(
        include_str!("../sql/mysql/projection_checkpoints.sql"),
        checkpoints = names.checkpoints(),
        checkpoints_name = names.tables.checkpoints(),
        projections = names.projections(),
    )
}

fn workers(names: Names<'_>) -> String {
    format!(include_str!("../sql/mysql/projection_workers.sql"), workers = names.workers())
}

fn dead_letters(names: Names<'_>) -> String {
    format!(
        include_str!("../sql/mysql/projection_dead_letters.sql"),
        dead_letters = names.dead_letters(),
        dead_letters_name = names.tables.dead_letters(),
    )
}

fn schema_versions(names: Names<'_>) -> String {
    format!(
        include_str!("../sql/mysql/schema_versions.sql"),
        schema_versions = names.schema_versions(),
    )
}

fn insert_schema_version(names: Names<'_>) -> String {
    format!(
        include_str!("../sql/mysql/insert_schema_version.sql"),
        schema_versions = names.schema_versions(),
        schema_version = SCHEMA_VERSION,
    )
}

/// One grant for each table, to all the roles: MySQL takes one table at a time.
fn grants(names: Names<'_>, roles: &[SqlName]) -> [String; 8] {
    let roles = roles.iter().map(quoted).collect::<Vec<_>>().join(", ");
    [
        include_str!("../sql/mysql/grants_header.sql").to_owned(),
        format!(
            include_str!("../sql/mysql/grant_events.sql"),
            events = names.events(),
            roles = roles,
        ),
        format!(
            include_str!("../sql/mysql/grant_appenders.sql"),
            appenders = names.appenders(),
            roles = roles,
        ),
        format!(
            include_str!("../sql/mysql/grant_projections.sql"),
            projections = names.projections(),
            roles = roles,
        ),
        format!(
            include_str!("../sql/mysql/grant_checkpoints.sql"),
            checkpoints = names.checkpoints(),
            roles = roles,
        ),
        format!(
            include_str!("../sql/mysql/grant_workers.sql"),
            workers = names.workers(),
            roles = roles,
        ),
        format!(
            include_str!("../sql/mysql/grant_dead_letters.sql"),
            dead_letters = names.dead_letters(),
            roles = roles,
        ),
        format!(
            include_str!("../sql/mysql/grant_schema_versions.sql"),
            schema_versions = names.schema_versions(),
            roles = roles,
        ),
    ]
}
