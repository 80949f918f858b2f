//! MySQL and MariaDB: one insert of many rows, a plain select.

use es::StreamId;
use es_mysql::MySqlSource;
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::Row;
use super::plain::{Plain, READ_COLUMNS};

impl Plain for MySqlSource {
    async fn insert(conn: &mut MySqlConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let values = vec!["(?, ?, ?, ?, ?, ?, 'OrderPlaced', 1, ?, ?)"; rows.len()].join(", ");
        let sql = format!(
            "insert into events (bounded_context, aggregate_type, aggregate_id, \
             aggregate_version, slot, event_id, event_type, event_version, payload, created_at) \
             values {values}"
        );
        let mut insert = sqlx::query(AssertSqlSafe(sql));
        for row in rows {
            insert = insert
                .bind(row.stream.bounded_context().to_owned())
                .bind(row.stream.aggregate_type().to_owned())
                .bind(row.stream.aggregate_id().to_owned())
                .bind(row.version)
                .bind(row.slot)
                .bind(row.id)
                .bind(row.payload.clone().into_bytes())
                .bind(row.created_at.naive_utc());
        }
        insert.execute(conn).await.map(drop)
    }

    async fn read_stream(
        conn: &mut MySqlConnection,
        stream: &StreamId,
    ) -> Result<usize, sqlx::Error> {
        let sql = format!(
            "select {READ_COLUMNS} from events where bounded_context = ? and aggregate_type = ? \
             and aggregate_id = ? order by aggregate_version"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(stream.bounded_context().to_owned())
            .bind(stream.aggregate_type().to_owned())
            .bind(stream.aggregate_id().to_owned())
            .fetch_all(conn)
            .await?;
        Ok(rows.len())
    }

    async fn read_log(conn: &mut MySqlConnection) -> Result<usize, sqlx::Error> {
        let sql = format!("select {READ_COLUMNS} from events order by global_position");
        let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(conn);
        let mut count = 0;
        while rows.try_next().await?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}
