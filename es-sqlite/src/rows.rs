//! Rows about projections: what is bound, and what a column holds.

use std::sync::Arc;

use chrono::DateTime;
use es::adapter::{Cell, Kind, PerStatement, Row, RowStore, Statement, Value, with_tables};
use es::{StoreError, TableNames};
use es_sqlx::unreadable;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row as _, SqlStr, Sqlite, SqliteConnection};

use crate::SqliteEventStore;
use crate::error::store_error;
use crate::sql::{quoted, trusted};

/// The statements, with the store's table names in them. Cloning one is cheap.
pub(crate) fn statements(tables: &TableNames) -> Arc<PerStatement<SqlStr>> {
    let file = es::adapter::projection_sql!("../sql/projections/");
    let render = |statement| with_tables(file(statement), tables, quoted);
    Arc::new(PerStatement::new(|statement| trusted(render(statement))))
}

impl SqliteEventStore {
    fn query(
        &self,
        statement: Statement,
        values: &[Value<'_>],
    ) -> Query<'_, Sqlite, SqliteArguments> {
        let sql = self.projections.of(statement).clone();
        values.iter().fold(sqlx::query(sql), |query, value| match value {
            Value::Integer(number) => query.bind(*number),
            Value::Text(text) => query.bind(text.as_deref().map(str::to_owned)),
            Value::Flag(flag) => query.bind(*flag),
        })
    }
}

impl RowStore for SqliteEventStore {
    async fn execute(
        &self,
        conn: &mut SqliteConnection,
        statement: Statement,
        values: &[Value<'_>],
    ) -> Result<u64, StoreError> {
        let query = self.query(statement, values);
        Ok(query.execute(conn).await.map_err(store_error)?.rows_affected())
    }

    async fn fetch(
        &self,
        conn: &mut SqliteConnection,
        statement: Statement,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let rows = self.query(statement, values).fetch_all(conn).await.map_err(store_error)?;
        let read = |row| Row::read(statement, |number, column| cell(row, number, column.kind));
        rows.iter().map(read).collect()
    }
}

fn cell(row: &SqliteRow, column: usize, kind: Kind) -> Result<Option<Cell>, String> {
    let cell = match kind {
        Kind::Integer => row.try_get::<Option<i64>, _>(column).map(|cell| cell.map(Cell::Integer)),
        Kind::Text => row.try_get::<Option<String>, _>(column).map(|cell| cell.map(Cell::Text)),
        Kind::Flag => row.try_get::<Option<bool>, _>(column).map(|cell| cell.map(Cell::Flag)),
        Kind::Time => {
            let micros = row.try_get::<Option<i64>, _>(column).map_err(unreadable)?;
            let Some(micros) = micros else { return Ok(None) };
            let time = DateTime::from_timestamp_micros(micros);
            let time = time.ok_or_else(|| format!("an impossible time, {micros}"))?;
            return Ok(Some(Cell::Time(time)));
        }
    };
    cell.map_err(unreadable)
}
