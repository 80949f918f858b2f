//! Rows about projections: what is bound, and what a column holds.

use chrono::{DateTime, Utc};
use es::adapter::{Cell, Kind, PerStatement, Row, RowStore, Statement, Value, with_tables};
use es::{StoreError, TableNames};
use es_sqlx::unreadable;
use sqlx::postgres::PgRow;
use sqlx::{Column as _, PgConnection, Row as _, SqlStr, TypeInfo, ValueRef};

use crate::PgEventStore;
use crate::event_row;
use crate::send::PgQuery;
use crate::sql::{quoted, trusted};

/// The statements, with the store's table names in them. Cloning one is cheap.
pub(crate) fn statements(tables: &TableNames) -> PerStatement<SqlStr> {
    let file = es::adapter::projection_sql!("../sql/projections/");
    let quoted = |name: &es::SqlName| quoted(tables, name.as_str());
    PerStatement::new(|statement| trusted(with_tables(file(statement), tables, quoted)))
}

impl RowStore for PgEventStore {
    async fn execute(
        &self,
        conn: &mut PgConnection,
        statement: Statement,
        values: &[Value<'_>],
    ) -> Result<u64, StoreError> {
        self.change(conn, self.projections.of(statement), |query| bind(query, values)).await
    }

    async fn fetch(
        &self,
        conn: &mut PgConnection,
        statement: Statement,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let sql = self.projections.of(statement);
        let rows = self.fetch_all(conn, sql, |query| bind(query, values)).await?;
        let read = |row| Row::read(statement, |number, column| cell(row, number, column.kind));
        rows.iter().map(read).collect()
    }
}

fn bind<'q>(query: PgQuery<'q>, values: &'q [Value<'_>]) -> PgQuery<'q> {
    values.iter().fold(query, |query, value| match value {
        Value::Integer(number) => query.bind(*number),
        Value::Text(text) => query.bind(text.as_deref()),
        Value::Flag(flag) => query.bind(*flag),
    })
}

fn cell(row: &PgRow, column: usize, kind: Kind) -> Result<Option<Cell>, String> {
    let cell = match kind {
        Kind::Integer => return integer(row, column),
        Kind::Time => return time(row, column),
        Kind::Text => row.try_get::<Option<String>, _>(column).map(|text| text.map(Cell::Text)),
        Kind::Flag => row.try_get::<Option<bool>, _>(column).map(|flag| flag.map(Cell::Flag)),
    };
    cell.map_err(unreadable)
}

/// A number of any width.
fn integer(row: &PgRow, column: usize) -> Result<Option<Cell>, String> {
    let type_name = row.column(column).type_info().name();
    let number = match type_name {
        "INT2" => row.try_get::<Option<i16>, _>(column).map(|number| number.map(i64::from)),
        "INT4" => row.try_get::<Option<i32>, _>(column).map(|number| number.map(i64::from)),
        _ => row.try_get::<Option<i64>, _>(column),
    };
    number.map(|number| number.map(Cell::Integer)).map_err(unreadable)
}

/// A time, from its bytes: sqlx panics at one that Rust does not know.
fn time(row: &PgRow, column: usize) -> Result<Option<Cell>, String> {
    let value = row.try_get_raw(column).map_err(unreadable)?;
    if value.type_info().name() != "TIMESTAMPTZ" {
        return Err("it is of another type".to_owned());
    }
    if value.is_null() {
        return Ok(None);
    }
    let bytes = value.as_bytes().ok().and_then(|bytes| bytes.try_into().ok());
    let time: Option<DateTime<Utc>> = bytes.map(i64::from_be_bytes).and_then(event_row::time);
    let time = time.ok_or("it is at no time Rust knows")?;
    Ok(Some(Cell::Time(time)))
}
