//! The start check: are the tables what the library needs?

use es::adapter::{ColumnKind, FoundSchema, SchemaNeeds};
use es::{SqlName, StoreError, TableNames};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlStr, SqliteConnection};

use crate::error::{DATABASE, store_error};
use crate::sql::{quoted, trusted};

/// The start check of one store.
#[derive(Debug)]
pub(crate) struct SchemaCheck {
    needs: SchemaNeeds,
    catalog: SqlStr,
    version: SqlStr,
}

impl SchemaCheck {
    pub(crate) fn new(tables: &TableNames) -> Self {
        let needs = SchemaNeeds {
            database: DATABASE,
            tables: tables.clone(),
            types,
            quote: '"',
            has_appenders: false,
            has_sequence: false,
        };
        let names = sought(&needs);
        let schema_versions = quoted(&tables.schema_versions());
        SchemaCheck {
            needs,
            catalog: trusted(format!(
                include_str!("../sql/events/check_schema.sql"),
                names = names
            )),
            version: trusted(format!(
                include_str!("../sql/events/schema_version.sql"),
                schema_versions = schema_versions
            )),
        }
    }

    pub(crate) async fn run(
        &self,
        conn: &mut SqliteConnection,
        check: fn(&SchemaNeeds, &FoundSchema) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if let Some(schema) = self.needs.tables.schema() {
            return Err(StoreError::SchemaUnsafe {
                reason: format!(
                    "SQLite has no schemas, and the store was given {schema:?}, so two stores that \
                     differ in it only would be one: leave out `TableNames::with_schema`, and give \
                     each store tables of other names",
                    schema = schema.as_str()
                ),
            });
        }
        let mut found = FoundSchema::default();
        let rows = sqlx::query(self.catalog.clone()).fetch_all(&mut *conn).await;
        rows.map_err(store_error)?.iter().try_for_each(|row| note(&mut found, row))?;
        let version = sqlx::query(self.version.clone()).fetch_one(conn).await;
        match version.map_err(store_error) {
            Ok(row) => {
                let version: Option<i64> = row.try_get(0).map_err(store_error)?;
                let version = version.map(|version| version.to_string());
                found.note("version", "", "", version.as_deref().unwrap_or_default(), "");
                check(&self.needs, &found)
            }
            Err(error) if error.is_retryable() => Err(error),
            // The table or its column is missing, which the catalog has said as well.
            Err(error) => Err(check(&self.needs, &found).err().unwrap_or(error)),
        }
    }
}

/// The names that are looked for, and by which column a table of another name is known.
fn sought(needs: &SchemaNeeds) -> String {
    let mark = |name: &SqlName| match name {
        name if name == needs.tables.events() => "global_position",
        name if name == needs.tables.projections() => "rescale_to",
        name if name == needs.tables.checkpoints() => "replay_until",
        _ => "",
    };
    let names = needs.table_names();
    let rows = names.iter().map(|name| format!("('{name}', '{}')", mark(name)));
    rows.collect::<Vec<_>>().join(",\n      ")
}

fn note(found: &mut FoundSchema, row: &SqliteRow) -> Result<(), StoreError> {
    found.note(text(row, 0)?, text(row, 1)?, text(row, 2)?, text(row, 3)?, text(row, 4)?);
    Ok(())
}

fn text(row: &SqliteRow, column: usize) -> Result<&str, StoreError> {
    let value: Option<&str> = row.try_get(column).map_err(store_error)?;
    Ok(value.unwrap_or_default())
}

fn types(kind: ColumnKind) -> &'static [&'static str] {
    match kind {
        // A number that was given once is never given again.
        ColumnKind::Number => &["integer autoincrement"],
        ColumnKind::Name | ColumnKind::Text | ColumnKind::Json => &["text"],
        ColumnKind::Uuid | ColumnKind::Bytes => &["blob"],
        _ => &["integer"],
    }
}
