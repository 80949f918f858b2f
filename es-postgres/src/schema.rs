//! The start check: is the schema in the database the one this library needs, and safe?

use es::adapter::{ColumnKind, FoundSchema, SchemaNeeds};
use es::{StoreError, TableNames};
use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{Executor, PgConnection, Row, SqlStr};

use crate::error::{DATABASE, store_error};
use crate::sql::{quoted, trusted};

/// The start check of one store.
#[derive(Debug)]
pub(crate) struct SchemaCheck {
    needs: SchemaNeeds,
    sql: SqlStr,
}

/// How many columns the statement about the catalog answers.
const CATALOG_COLUMNS: usize = 5;

impl SchemaCheck {
    pub(crate) fn new(tables: &TableNames) -> Self {
        let needs = SchemaNeeds {
            database: DATABASE,
            tables: tables.clone(),
            types,
            quote: '"',
            has_appenders: false,
            has_sequence: true,
        };
        let sequence = quoted(tables, tables.sequence().as_str());
        let sql = format!(
            include_str!("../sql/events/check_schema.sql"),
            path = path(tables),
            place = place(tables),
            is_named = is_named(tables),
            names = sought(&needs),
            events = quoted(tables, tables.events().as_str()),
            schema_versions = quoted(tables, tables.schema_versions().as_str()),
            sequence = sequence,
            sequence_name = format_args!("'{sequence}'"),
        );
        SchemaCheck { needs, sql: trusted(sql) }
    }

    pub(crate) async fn run(
        &self,
        conn: &mut PgConnection,
        check: fn(&SchemaNeeds, &FoundSchema) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut found = FoundSchema::default();
        let mut log = None;
        let failure = {
            let mut rows = conn.fetch(sqlx::raw_sql(self.sql.clone()));
            loop {
                match rows.try_next().await {
                    Ok(Some(row)) if row.len() == CATALOG_COLUMNS => note(&mut found, &row)?,
                    Ok(Some(row)) => log = Some(row),
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            }
        };
        if let Some(row) = &log {
            found.note("version", "", "", text(row, 0)?, "");
        }
        // An answer that is not whole says nothing about the tables.
        match failure.map(store_error) {
            Some(error) if error.is_retryable() && !is_right(&error) => return Err(error),
            Some(error) => return Err(check(&self.needs, &found).err().unwrap_or(error)),
            None => check(&self.needs, &found)?,
        }
        match log {
            Some(row) => check_log(&row, &self.needs.tables),
            None => Err(unsafe_schema("the sequence of the positions is not there")),
        }
    }
}

/// The check itself says which rights are missing.
fn is_right(error: &StoreError) -> bool {
    matches!(error, StoreError::MissingRight { .. })
}

/// The schemas that are looked through, in their order.
fn path(tables: &TableNames) -> String {
    match tables.schema() {
        Some(schema) => format!("values ('{schema}'::name, 1::bigint)"),
        None => "select *\n    from unnest(current_schemas(true)) with ordinality".to_owned(),
    }
}

fn place(tables: &TableNames) -> String {
    match tables.schema() {
        Some(schema) => format!("'schema \"{schema}\"'"),
        None => "'the search path (' || current_setting('search_path') || ')'".to_owned(),
    }
}

/// Whether a schema is one that the tables are looked for in, also if it may not be used.
fn is_named(tables: &TableNames) -> String {
    match tables.schema() {
        Some(schema) => format!("(nspname = '{schema}')"),
        None => "(nspname = any (
      regexp_split_to_array(
        replace(replace(current_setting('search_path'), '\"$user\"', current_user), '\"', ''),
        ', *'
      )
    ))"
        .to_owned(),
    }
}

/// The names that are looked for, and by which column a table of another name is known.
fn sought(needs: &SchemaNeeds) -> String {
    let mark = |name: &es::SqlName| match name {
        name if name == needs.tables.events() => "global_position",
        name if name == needs.tables.projections() => "rescale_to",
        name if name == needs.tables.checkpoints() => "replay_until",
        _ => "",
    };
    let names = needs.table_names();
    let rows = names.iter().map(|name| format!("('{name}', '{}')", mark(name)));
    rows.collect::<Vec<_>>().join(",\n      ")
}

/// As `format_type` writes them.
fn types(kind: ColumnKind) -> &'static [&'static str] {
    match kind {
        ColumnKind::Integer => &["integer"],
        ColumnKind::Slot => &["smallint"],
        ColumnKind::Flag => &["boolean"],
        ColumnKind::Name | ColumnKind::Text => &["text", "character varying"],
        ColumnKind::Uuid => &["uuid"],
        ColumnKind::Bytes => &["bytea"],
        ColumnKind::Json => &["json"],
        ColumnKind::Time => &["timestamp with time zone"],
        _ => &["bigint"],
    }
}

fn note(found: &mut FoundSchema, row: &PgRow) -> Result<(), StoreError> {
    found.note(text(row, 0)?, text(row, 1)?, text(row, 2)?, text(row, 3)?, text(row, 4)?);
    Ok(())
}

fn text(row: &PgRow, column: usize) -> Result<&str, StoreError> {
    let value: Option<&str> = row.try_get(column).map_err(store_error)?;
    Ok(value.unwrap_or_default())
}

fn number(row: &PgRow, column: usize) -> Result<i64, StoreError> {
    let text = text(row, column)?;
    text.parse().map_err(|_| StoreError::corrupt(format!("{text:?} where a number must be")))
}

/// What the second statement says about the log.
fn check_log(row: &PgRow, tables: &TableNames) -> Result<(), StoreError> {
    let sequence = quoted(tables, tables.sequence().as_str());
    let (cache_size, increment) = (number(row, 1)?, number(row, 2)?);
    let (cycles, encoding) = (text(row, 3)? == "true", text(row, 4)?);
    if cache_size != 1 {
        return Err(unsafe_schema(format!(
            "the sequence of the positions hands out {cache_size} at a time, so a session could \
             use one that readers have already passed: run `alter sequence {sequence} cache 1`"
        )));
    }
    if increment < 1 || cycles {
        return Err(unsafe_schema(format!(
            "the sequence of the positions must count upwards and never start again: run \
             `alter sequence {sequence} increment by 1 no cycle`"
        )));
    }
    let (highest, last) = (number(row, 5)?, number(row, 6)?);
    if highest > last {
        return Err(unsafe_schema(format!(
            "the sequence of the positions stands at {last} and the table holds position \
             {highest}, so new events would land where readers have already been: before anything \
             is appended, set it with `select setval('{sequence}', {highest})`"
        )));
    }
    if encoding != "UTF8" {
        return Err(unsafe_schema(format!(
            "the database's encoding is {encoding}, which cannot hold every name: create the \
             database with encoding UTF8"
        )));
    }
    Ok(())
}

fn unsafe_schema(reason: impl Into<String>) -> StoreError {
    StoreError::SchemaUnsafe { reason: reason.into() }
}
