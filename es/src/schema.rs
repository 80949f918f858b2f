//! The names of the tables and the version of the schema.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

pub use self::check::{SchemaNeeds, check_log_schema, check_schema, check_schema_version};
pub use self::found::FoundSchema;
pub use self::needed::ColumnKind;

mod check;
mod found;
mod needed;
#[cfg(test)]
mod tests;

/// The version of the schema this library reads and writes.
pub const SCHEMA_VERSION: i64 = 1;

/// The longest name of a table, in bytes: the names derived from it must fit 63.
const SQL_NAME_BYTES_MAX: usize = 40;

/// The name of a table or schema: a letter or `_`, then letters, digits or `_`, 40 bytes at most,
/// all ASCII. Always written in quotes, so key words are fine and case is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SqlName(String);

impl SqlName {
    /// The name, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SqlName {
    type Err = InvalidTableName;

    fn from_str(name: &str) -> Result<Self, InvalidTableName> {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let goes_on_well = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if starts_well && goes_on_well && name.len() <= SQL_NAME_BYTES_MAX {
            return Ok(SqlName(name.to_owned()));
        }
        Err(InvalidTableName { name: name.to_owned() })
    }
}

impl fmt::Display for SqlName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that is not fit for a table.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{name:?} is not a table name: begin with a letter or _, go on with letters, digits or _, \
     {SQL_NAME_BYTES_MAX} characters at most"
)]
pub struct InvalidTableName {
    name: String,
}

/// The names of an event store's tables.
///
/// ```
/// use es::TableNames;
///
/// let tables = TableNames::default().with_events("shop_events".parse()?);
/// assert_eq!(tables.events().as_str(), "shop_events");
/// assert_eq!(tables.checkpoints().as_str(), "projection_checkpoints");
/// # Ok::<(), es::InvalidTableName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableNames {
    schema: Option<SqlName>,
    events: SqlName,
    projections: SqlName,
    checkpoints: SqlName,
}

impl Default for TableNames {
    fn default() -> Self {
        TableNames {
            schema: None,
            events: SqlName("events".to_owned()),
            projections: SqlName("projections".to_owned()),
            checkpoints: SqlName("projection_checkpoints".to_owned()),
        }
    }
}

impl TableNames {
    /// Puts the tables into a schema of the database instead of the connection's default.
    #[must_use]
    pub fn with_schema(self, schema: SqlName) -> Self {
        TableNames { schema: Some(schema), ..self }
    }

    /// Renames the table of the events; the default is `events`.
    #[must_use]
    pub fn with_events(self, events: SqlName) -> Self {
        TableNames { events, ..self }
    }

    /// Renames the table of the projections; the default is `projections`.
    #[must_use]
    pub fn with_projections(self, projections: SqlName) -> Self {
        TableNames { projections, ..self }
    }

    /// Renames the table of the checkpoints; the default is `projection_checkpoints`.
    #[must_use]
    pub fn with_checkpoints(self, checkpoints: SqlName) -> Self {
        TableNames { checkpoints, ..self }
    }

    /// The schema the tables are in; `None` for the connection's default.
    pub fn schema(&self) -> Option<&SqlName> {
        self.schema.as_ref()
    }

    /// The table of the events.
    pub fn events(&self) -> &SqlName {
        &self.events
    }

    /// The table of the projections, one row each.
    pub fn projections(&self) -> &SqlName {
        &self.projections
    }

    /// The table of the checkpoints, one row for each partition of a projection.
    pub fn checkpoints(&self) -> &SqlName {
        &self.checkpoints
    }

    /// The table of the workers that claim partitions, one row per worker and projection: the
    /// projections table's name in the singular, as far as an `s` makes the plural, and `_workers`.
    pub fn workers(&self) -> SqlName {
        SqlName(format!("{}_workers", self.projection()))
    }

    /// The table of the events that projections have parked: the name in the singular likewise,
    /// and `_dead_letters`.
    pub fn dead_letters(&self) -> SqlName {
        SqlName(format!("{}_dead_letters", self.projection()))
    }

    fn projection(&self) -> &str {
        let name = self.projections.as_str();
        name.strip_suffix('s').unwrap_or(name)
    }

    /// The options by which `migrate-gen` is told these names, each with a space before it; empty
    /// for the default names. A name needs no quotes in a shell.
    pub fn migration_options(&self) -> String {
        let default = TableNames::default();
        let renamed = |name: &SqlName, default: &SqlName| (name != default).then(|| name.clone());
        let options = [
            ("--schema", self.schema.clone()),
            ("--events-table", renamed(&self.events, &default.events)),
            ("--projections-table", renamed(&self.projections, &default.projections)),
            ("--checkpoints-table", renamed(&self.checkpoints, &default.checkpoints)),
        ];
        let given = options.into_iter().filter_map(|(option, name)| Some((option, name?)));
        given.fold(String::new(), |text, (option, name)| text + " " + option + " " + name.as_str())
    }

    /// The table that records the schema's version: the events table's name and `_schema`.
    pub fn schema_versions(&self) -> SqlName {
        SqlName(format!("{}_schema", self.events))
    }

    /// The sequence of the positions, where a database has one: the events table's name and
    /// `_global_position_seq`.
    pub fn sequence(&self) -> SqlName {
        SqlName(format!("{}_global_position_seq", self.events))
    }

    /// The table where databases without transaction-scoped locks note who is appending: the
    /// events table's name and `_appenders`.
    pub fn appenders(&self) -> SqlName {
        SqlName(format!("{}_appenders", self.events))
    }
}
