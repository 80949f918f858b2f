//! The start check: are the tables and the server what the library needs?

use es::adapter::{ColumnKind, FoundSchema, SchemaNeeds};
use es::{StoreError, TableNames};
use futures_util::TryStreamExt;
use sqlx::mysql::{MySqlDatabaseError, MySqlRow};
use sqlx::{Executor, MySqlConnection, Row, SqlStr};

use crate::error::{DATABASE, store_error};
use crate::sql::{quoted, statement, trusted};

/// The start check of one store.
#[derive(Debug)]
pub(crate) struct SchemaCheck {
    needs: SchemaNeeds,
    sql: SqlStr,
    similar: SqlStr,
}

/// How many columns a row about a table has; one about the server has a name and a value.
const TABLE_COLUMNS: usize = 5;
const SERVER_COLUMNS: usize = 2;

impl SchemaCheck {
    pub(crate) fn new(tables: &TableNames) -> Self {
        let needs = SchemaNeeds {
            database: DATABASE,
            tables: tables.clone(),
            types,
            quote: '`',
            has_appenders: true,
            has_sequence: false,
        };
        let schema = match tables.schema() {
            Some(schema) => format!("'{schema}'"),
            None => "database()".to_owned(),
        };
        let names: Vec<String> =
            needs.table_names().iter().map(|name| format!("'{name}'")).collect();
        let sql = statement!(
            "check_schema.sql",
            schema = schema,
            names = names.join(", "),
            schema_versions = quoted(tables, &tables.schema_versions()),
            checkpoints = quoted(tables, tables.checkpoints()),
            workers = quoted(tables, &tables.workers()),
            dead_letters = quoted(tables, &tables.dead_letters()),
            appenders = quoted(tables, &tables.appenders()),
        );
        let similar = statement!(
            "similar_tables.sql",
            schema = schema,
            events = tables.events(),
            projections = tables.projections(),
            checkpoints = tables.checkpoints(),
        );
        SchemaCheck { needs, sql: trusted(sql), similar: trusted(similar) }
    }

    pub(crate) async fn run(
        &self,
        conn: &mut MySqlConnection,
        check: fn(&SchemaNeeds, &FoundSchema) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut found = FoundSchema::default();
        let mut rest = Vec::new();
        let failure = {
            let mut rows = conn.fetch(sqlx::raw_sql(self.sql.clone()));
            loop {
                match rows.try_next().await {
                    Ok(Some(row)) => note(&mut found, &mut rest, &row)?,
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            }
        };
        let failure = failure.and_then(|error| self.note_failure(&mut found, error));
        if failure.as_ref().is_some_and(StoreError::is_retryable) {
            return failure.map_or(Ok(()), Err);
        }
        match check(&self.needs, &found) {
            Err(StoreError::SchemaMissing { .. } | StoreError::SchemaIncomplete { .. }) => {
                self.look_elsewhere(conn, &mut found).await?;
                check(&self.needs, &found)?;
            }
            checked => checked?,
        }
        if let Some(error) = failure {
            return Err(error);
        }
        rest.iter().try_for_each(|(name, value)| check_fact(name, value))
    }

    async fn look_elsewhere(
        &self,
        conn: &mut MySqlConnection,
        found: &mut FoundSchema,
    ) -> Result<(), StoreError> {
        let rows =
            sqlx::raw_sql(self.similar.clone()).fetch_all(conn).await.map_err(store_error)?;
        rows.iter().try_for_each(|row| note(found, &mut Vec::new(), row))
    }

    /// What a statement's failure says about rights. `None` if it is explained by that, or by a
    /// server or transaction that only reads, where nobody has a right to delete.
    fn note_failure(&self, found: &mut FoundSchema, error: sqlx::Error) -> Option<StoreError> {
        let answer = error.as_database_error();
        let answer = answer.and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
        match answer.map(MySqlDatabaseError::number) {
            // ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR.
            Some(1142 | 1143) => {
                let message = answer.map(MySqlDatabaseError::message).unwrap_or_default();
                found.note("hidden", "", "", "", "");
                for table in self.needs.table_names() {
                    let names = |quote: char| message.contains(&format!("{quote}{table}{quote}"));
                    if message.starts_with("DELETE") && (names('`') || names('\'')) {
                        found.note("undeletable", table.as_str(), "", "", "");
                    }
                }
                None
            }
            // ER_NO_SUCH_TABLE, ER_BAD_FIELD_ERROR, ER_NO_DB_ERROR, ER_BAD_DB_ERROR: the catalog
            // has said so. ER_OPTION_PREVENTS_STATEMENT, ER_READ_ONLY_MODE and
            // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION. ER_NON_UPDATABLE_TABLE, a view's.
            Some(1146 | 1054 | 1046 | 1049 | 1290 | 1836 | 1792 | 1288) => None,
            _ => Some(store_error(error)),
        }
    }
}

/// Notes a row about a table, and keeps for later what only this kind of server has.
fn note(
    found: &mut FoundSchema,
    rest: &mut Vec<(String, String)>,
    row: &MySqlRow,
) -> Result<(), StoreError> {
    match row.len() {
        SERVER_COLUMNS => rest.push((text(row, 0)?.to_owned(), text(row, 1)?.to_owned())),
        TABLE_COLUMNS if text(row, 0)? == "engine" => {
            let table = format!("{}.{}", text(row, 1)?, text(row, 2)?);
            rest.push((table, text(row, 3)?.to_owned()));
        }
        TABLE_COLUMNS => {
            found.note(text(row, 0)?, text(row, 1)?, text(row, 2)?, text(row, 3)?, text(row, 4)?);
        }
        // The plan of the deletion.
        _ => {}
    }
    Ok(())
}

fn text(row: &MySqlRow, column: usize) -> Result<&str, StoreError> {
    let value: Option<&str> = row.try_get(column).map_err(store_error)?;
    Ok(value.unwrap_or_default())
}

/// As the catalog names them, the one that is written first.
fn types(kind: ColumnKind) -> &'static [&'static str] {
    match kind {
        ColumnKind::Integer => &["int"],
        ColumnKind::Slot => &["smallint"],
        ColumnKind::Flag => &["tinyint"],
        ColumnKind::Name => &["varchar(255)"],
        ColumnKind::Text => &["text", "mediumtext", "longtext"],
        ColumnKind::Uuid => &["binary(16)"],
        ColumnKind::Bytes => &["longblob"],
        ColumnKind::Json => &["mediumtext", "longtext"],
        ColumnKind::Time => &["datetime(6)"],
        _ => &["bigint"],
    }
}

/// Refuses a session in which an append could write something else than it was given: the
/// character sets of its statements and of what is bound to them, then what else is not as it must
/// be.
pub(crate) fn check_session(settings: &str) -> Result<(), StoreError> {
    let mut settings = settings.split(' ');
    for variable in ["character_set_client", "character_set_connection"] {
        check_character_set(variable, settings.next().unwrap_or_default())?;
    }
    match settings.next() {
        None => Ok(()),
        Some(_) => Err(unsafe_schema(
            "unique_checks is off in the session, so that the server may store a version of a \
             stream twice: run `set session unique_checks = 1`",
        )),
    }
}

/// Refuses a session that would send or receive names in another encoding than the columns have.
fn check_character_set(variable: &str, name: &str) -> Result<(), StoreError> {
    if name == "utf8mb4" {
        return Ok(());
    }
    Err(unsafe_schema(format!(
        "{variable} of the session is {name}, which cannot hold every name: connect with the \
         character set utf8mb4, as sqlx does by default, and do not `set names` to another one"
    )))
}

fn check_fact(name: &str, value: &str) -> Result<(), StoreError> {
    match name {
        "settings" => check_session(value),
        "character_set_results" => check_character_set(name, value),
        "wsrep_on" if is_on(value) => Err(unsafe_schema(
            "the server belongs to a Galera cluster, whose nodes do not show each other who is \
             appending: use a server with one primary",
        )),
        "group_replication_single_primary_mode" if !is_on(value) => Err(unsafe_schema(
            "the server belongs to a replication group with several primaries, which do not show \
             each other who is appending: use single-primary mode",
        )),
        "wsrep_on" | "group_replication_single_primary_mode" => Ok(()),
        table => check_table(table, value),
    }
}

fn check_table(table: &str, collation: &str) -> Result<(), StoreError> {
    let (table, engine) = table.rsplit_once('.').unwrap_or((table, ""));
    if engine != "innodb" {
        return Err(unsafe_schema(format!(
            "table {table} is kept by the engine {engine:?}, which has no transactions like \
             InnoDB's: run `alter table {table} engine = InnoDB`"
        )));
    }
    if collation != "utf8mb4_bin" {
        return Err(unsafe_schema(format!(
            "the collation of table {table} is {collation}, by which different names can be \
             equal: create it as migrate-gen writes it, with utf8mb4_bin"
        )));
    }
    Ok(())
}

fn is_on(value: &str) -> bool {
    value.eq_ignore_ascii_case("on") || value == "1"
}

fn unsafe_schema(reason: impl Into<String>) -> StoreError {
    StoreError::SchemaUnsafe { reason: reason.into() }
}
