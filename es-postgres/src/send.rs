//! Sending the store's statements: one that is stale is prepared again.
//!
//! A connection keeps its statements prepared. When a column's type changes, or the server forgets
//! what was prepared, such a statement fails and would fail on this connection for ever.

use es::StoreError;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Connection, PgConnection, Postgres, SqlStr};

use crate::PgEventStore;
use crate::error::{is_aborted, is_stale, statement_error};

pub(crate) type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

/// Sends a statement by one of sqlx's methods, again if it has to be prepared again.
macro_rules! send {
    ($store:ident, $conn:ident, $sql:ident, $bind:ident, $method:ident) => {{
        let error = match $bind($store.query($sql)).$method(&mut *$conn).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if !forget_stale($conn, &error).await {
            return Err(error);
        }
        let again = $bind($store.query($sql)).$method($conn).await;
        again.map_err(|again| first_unless_new(error, again))
    }};
}

impl PgEventStore {
    /// Every row; `bind` is called again if the statement has to be sent again.
    pub(crate) async fn fetch_all<'q>(
        &self,
        conn: &mut PgConnection,
        sql: &SqlStr,
        bind: impl Fn(PgQuery<'q>) -> PgQuery<'q> + Send,
    ) -> Result<Vec<PgRow>, StoreError> {
        let rows = self.try_fetch_all(conn, sql, bind).await;
        rows.map_err(|error| statement_error(sql.as_str(), error))
    }

    /// As [`fetch_all`](Self::fetch_all), with the driver's error.
    pub(crate) async fn try_fetch_all<'q>(
        &self,
        conn: &mut PgConnection,
        sql: &SqlStr,
        bind: impl Fn(PgQuery<'q>) -> PgQuery<'q> + Send,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        send!(self, conn, sql, bind, fetch_all)
    }

    /// The row, if there is one.
    pub(crate) async fn fetch_optional<'q>(
        &self,
        conn: &mut PgConnection,
        sql: &SqlStr,
        bind: impl Fn(PgQuery<'q>) -> PgQuery<'q> + Send,
    ) -> Result<Option<PgRow>, StoreError> {
        Ok(self.fetch_all(conn, sql, bind).await?.into_iter().next())
    }

    /// The only row.
    pub(crate) async fn fetch_one<'q>(
        &self,
        conn: &mut PgConnection,
        sql: &SqlStr,
        bind: impl Fn(PgQuery<'q>) -> PgQuery<'q> + Send,
    ) -> Result<PgRow, StoreError> {
        let row = self.fetch_optional(conn, sql, bind).await?;
        row.ok_or_else(|| StoreError::corrupt("a statement without its row"))
    }

    /// How many rows were changed.
    pub(crate) async fn change<'q>(
        &self,
        conn: &mut PgConnection,
        sql: &SqlStr,
        bind: impl Fn(PgQuery<'q>) -> PgQuery<'q> + Send,
    ) -> Result<u64, StoreError> {
        let done = self.try_execute(conn, sql, bind).await;
        let done = done.map_err(|error| statement_error(sql.as_str(), error))?;
        Ok(done.rows_affected())
    }

    async fn try_execute<'q>(
        &self,
        conn: &mut PgConnection,
        sql: &SqlStr,
        bind: impl Fn(PgQuery<'q>) -> PgQuery<'q> + Send,
    ) -> Result<sqlx::postgres::PgQueryResult, sqlx::Error> {
        send!(self, conn, sql, bind, execute)
    }
}

/// If a statement failed because it is stale, lets the connection forget all it has prepared:
/// what made one stale did so to others.
pub(crate) async fn forget_stale(conn: &mut PgConnection, error: &sqlx::Error) -> bool {
    is_stale(error) && conn.clear_cached_statements().await.is_ok()
}

/// What a statement that was sent twice failed with. Inside a transaction the first error aborts
/// it, and the second says nothing but that.
pub(crate) fn first_unless_new(first: sqlx::Error, second: sqlx::Error) -> sqlx::Error {
    if is_aborted(&second) { first } else { second }
}
