//! Rows about projections: what is bound, and what a column holds.

use std::sync::Arc;

use chrono::NaiveDateTime;
use es::adapter::{Cell, Kind, PerStatement, Row, RowStore, Statement, Value, with_tables};
use es::{StoreError, TableNames};
use es_sqlx::unreadable;
use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::query::Query;
use sqlx::{MySql, MySqlConnection, Row as _, SqlStr};

use crate::MySqlEventStore;
use crate::error::store_error;
use crate::sql::{quoted, trusted, without_comments};

/// A statement as the servers take it: its places have no numbers, so a value that stands in two of
/// them is bound twice.
#[derive(Debug)]
pub(crate) struct Numbered {
    sql: SqlStr,
    /// For each place the number of its value, from 0.
    values: Vec<usize>,
}

impl Numbered {
    /// Takes the numbers out of `?1`, `?2` and so on.
    fn new(numbered: &str) -> Self {
        let mut parts = numbered.split('?');
        let mut sql = parts.next().unwrap_or_default().to_owned();
        let mut values = Vec::new();
        for part in parts {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
            let number = part[..part.len() - rest.len()].parse::<usize>();
            values.push(number.map_or(0, |number| number.saturating_sub(1)));
            sql.push('?');
            sql.push_str(rest);
        }
        Numbered { sql: trusted(sql), values }
    }

    fn query<'q>(&self, values: &'q [Value<'_>]) -> Query<'q, MySql, MySqlArguments> {
        let bound = self.values.iter().filter_map(|number| values.get(*number));
        bound.fold(sqlx::query(self.sql.clone()), |query, value| match value {
            Value::Integer(number) => query.bind(*number),
            Value::Text(text) => query.bind(text.as_deref()),
            Value::Flag(flag) => query.bind(*flag),
        })
    }
}

/// The statements, with the store's table names in them.
pub(crate) fn statements(tables: &TableNames) -> Arc<PerStatement<Numbered>> {
    let file = es::adapter::projection_sql!("../sql/projections/");
    let quoted = |name: &es::SqlName| quoted(tables, name);
    let render = |statement| with_tables(&without_comments(file(statement)), tables, quoted);
    Arc::new(PerStatement::new(|statement| Numbered::new(&render(statement))))
}

impl RowStore for MySqlEventStore {
    async fn execute(
        &self,
        conn: &mut MySqlConnection,
        statement: Statement,
        values: &[Value<'_>],
    ) -> Result<u64, StoreError> {
        let query = self.projections.of(statement).query(values);
        Ok(query.execute(conn).await.map_err(store_error)?.rows_affected())
    }

    async fn fetch(
        &self,
        conn: &mut MySqlConnection,
        statement: Statement,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let query = self.projections.of(statement).query(values);
        let rows = query.fetch_all(conn).await.map_err(store_error)?;
        let read = |row| {
            let cell = |number, kind| cell(row, number, kind).map_err(unreadable);
            Row::read(statement, |number, column| cell(number, column.kind))
        };
        rows.iter().map(read).collect()
    }
}

fn cell(row: &MySqlRow, column: usize, kind: Kind) -> Result<Option<Cell>, sqlx::Error> {
    Ok(match kind {
        Kind::Integer => row.try_get::<Option<i64>, _>(column)?.map(Cell::Integer),
        Kind::Text => row.try_get::<Option<String>, _>(column)?.map(Cell::Text),
        Kind::Flag => row.try_get::<Option<bool>, _>(column)?.map(Cell::Flag),
        Kind::Time => {
            let time = row.try_get::<Option<NaiveDateTime>, _>(column)?;
            time.map(|time| Cell::Time(time.and_utc()))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_bound_wherever_its_number_stands() {
        let numbered = Numbered::new("update t set a = ?2 where b = ?1 and c >= ?2 limit ?10");
        assert_eq!(numbered.sql.as_str(), "update t set a = ? where b = ? and c >= ? limit ?");
        assert_eq!(numbered.values, [1, 0, 1, 9]);
    }

    #[test]
    fn every_place_has_a_number() {
        let file = es::adapter::projection_sql!("../sql/projections/");
        for statement in Statement::ALL {
            let sql = without_comments(file(*statement));
            let places = sql.matches('?').count();
            let numbered = sql.match_indices('?').filter(|(at, _)| {
                sql[at + 1..].starts_with(|c: char| c.is_ascii_digit() && c != '0')
            });
            assert_eq!(numbered.count(), places, "{sql}");
        }
    }
}
