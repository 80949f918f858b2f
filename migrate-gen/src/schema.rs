//! What is to be in the database: which kind of database, which names, which indexes.

use std::collections::BTreeSet;

use es::{SqlName, TableNames};
use thiserror::Error;

use crate::{Database, sqlite};

/// The tables of one event store.
///
/// ```
/// use migrate_gen::{Database, OptionalIndex, Schema, TableNames};
///
/// let schema = Schema::new(Database::Sqlite)
///     .with_tables(TableNames::default().with_events("shop_events".parse()?))
///     .with_index(OptionalIndex::CorrelationId);
/// let sql = schema.to_sql()?;
/// assert!(sql.contains(r#"create table "shop_events""#));
/// assert!(sql.contains(r#"create index "shop_events_correlation_id_idx""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    database: Database,
    tables: TableNames,
    indexes: BTreeSet<OptionalIndex>,
}

impl Schema {
    /// The tables with their default names and no optional index.
    pub fn new(database: Database) -> Self {
        Schema { database, tables: TableNames::default(), indexes: BTreeSet::new() }
    }

    /// Renames the tables.
    #[must_use]
    pub fn with_tables(self, tables: TableNames) -> Self {
        Schema { tables, ..self }
    }

    /// Adds an index; adding it again changes nothing.
    #[must_use]
    pub fn with_index(mut self, index: OptionalIndex) -> Self {
        self.indexes.insert(index);
        self
    }

    /// The statements that create the tables, in an order that can be run from top to bottom.
    ///
    /// The same schema gives the same text. There is no `begin` or `commit` in it.
    pub fn to_sql(&self) -> Result<String, SchemaError> {
        match self.database {
            Database::Sqlite => sqlite::render(&self.tables, &self.indexes),
        }
    }
}

/// An index the event store itself does not need, for queries of the application's own.
///
/// Each one makes every append dearer, so none is there by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OptionalIndex {
    /// By event type.
    EventType,
    /// By correlation id; holds only the events that have one.
    CorrelationId,
    /// By the time of the append.
    CreatedAt,
}

/// Why there is no SQL for a schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The database has no schemas: leave the tables' schema unset.
    #[error("{database} has no schemas, so the tables cannot be put into {schema:?}", schema = schema.as_str())]
    SchemasUnsupported {
        /// Which kind of database.
        database: Database,
        /// The schema that was asked for.
        schema: SqlName,
    },

    /// Two of the tables would have one name: rename one of them.
    #[error("two of the tables would be called {name:?}", name = name.as_str())]
    DuplicateName {
        /// The name.
        name: SqlName,
    },

    /// The database keeps such names to itself: rename the table.
    #[error("{database} reserves names like {name:?} for itself", name = name.as_str())]
    ReservedName {
        /// Which kind of database.
        database: Database,
        /// The name.
        name: SqlName,
    },
}
