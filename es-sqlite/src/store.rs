//! The event store on a SQLite connection.

use chrono::{DateTime, Utc};
use es::adapter::EventLog;
use std::sync::Arc;

use es::adapter::PerStatement;
use es::adapter::{
    AppendStatements, ExistingEvent, Insertion, ReadWindow, WindowEvents, append_guarded,
};
use es::{
    AppendError, AppendResult, Event, EventFilter, EventStore, ExpectedVersion, Horizon, Position,
    ReadLimit, StoreError, Stream, StreamId, TableNames, Version, VersionRange,
};
use sqlx::{SqlStr, SqliteConnection};

use crate::ended::tell;
use crate::error::{is_taken_event_id, store_error};
use crate::statements::Statements;
use crate::{record, rows};

/// An event store on SQLite. Holds no connection; cloning is cheap.
#[derive(Debug, Clone)]
pub struct SqliteEventStore {
    statements: Arc<Statements>,
    pub(crate) projections: Arc<PerStatement<SqlStr>>,
}

impl SqliteEventStore {
    /// A store whose tables have these names. A schema name is not used: SQLite has none.
    pub fn new(tables: &TableNames) -> Self {
        SqliteEventStore {
            statements: Arc::new(Statements::new(tables)),
            projections: rows::statements(tables),
        }
    }
}

impl Default for SqliteEventStore {
    /// A store whose tables have the default names.
    fn default() -> Self {
        SqliteEventStore::new(&TableNames::default())
    }
}

impl SqliteEventStore {
    /// SQLite says that the disk is full if there is no position left, too.
    async fn refused(&self, conn: &mut SqliteConnection, error: StoreError) -> StoreError {
        if !matches!(error, StoreError::Unavailable { .. }) {
            return error;
        }
        let horizon = self.horizon(&mut *conn, Position::START).await;
        if let Err(corrupt @ StoreError::Corrupt { .. }) = horizon {
            return corrupt;
        }
        let last = ReadWindow::dense(Position::MAX.previous(), ReadLimit::default());
        let last = self.window(conn, last, &EventFilter::default()).await;
        let is_exhausted = horizon.is_ok_and(|horizon| horizon.end == Position::MAX)
            || last.is_ok_and(|last| !last.events().is_empty());
        if !is_exhausted {
            return error;
        }
        StoreError::corrupt(
            "no position is left, because somebody gave an event the largest there is: delete that \
             event and set the table's row in sqlite_sequence back",
        )
    }
}

impl EventLog for SqliteEventStore {
    type Connection = SqliteConnection;

    async fn append_valid(
        &self,
        conn: &mut SqliteConnection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<AppendResult, AppendError> {
        match append_guarded(self, conn, stream, expected, events).await {
            Ok(result) => Ok(result),
            Err(error) => Err(tell(conn, error).await),
        }
    }

    async fn version_of(
        &self,
        conn: &mut SqliteConnection,
        stream: &StreamId,
    ) -> Result<Version, StoreError> {
        let row = sqlx::query(self.statements.stream_version.clone())
            .bind(stream.bounded_context().to_owned())
            .bind(stream.aggregate_type().to_owned())
            .bind(stream.aggregate_id().to_owned())
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        row.map_or(Ok(Version::NONE), |row| record::number(&row, 0))
    }

    async fn events_of(
        &self,
        conn: &mut SqliteConnection,
        stream: &StreamId,
        versions: VersionRange,
    ) -> Result<Stream, StoreError> {
        let rows = sqlx::query(self.statements.read_stream.clone())
            .bind(stream.bounded_context().to_owned())
            .bind(stream.aggregate_type().to_owned())
            .bind(stream.aggregate_id().to_owned())
            .bind(versions.first().get())
            .bind(versions.last().get())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        Ok(Stream::new(stream.clone(), record::events(&rows)?))
    }

    async fn horizon_after(
        &self,
        conn: &mut SqliteConnection,
        _known: Position,
    ) -> Result<Horizon, StoreError> {
        let row = sqlx::query(self.statements.horizon.clone())
            .bind(self.statements.events_name())
            .fetch_one(conn)
            .await
            .map_err(store_error)?;
        let position = record::number(&row, 0)?;
        Ok(Horizon::new(position, position))
    }

    async fn window(
        &self,
        conn: &mut SqliteConnection,
        window: ReadWindow,
        filter: &EventFilter,
    ) -> Result<WindowEvents, StoreError> {
        if !window.is_dense() {
            window.check_snapshot(self.horizon(&mut *conn, window.after()).await?.position)?;
        }
        let rows = sqlx::query(self.statements.read_window.clone())
            .bind(window.after().get())
            .bind(window.through().get())
            .bind(window.events_max())
            .bind(filter.bounded_contexts().map(json_array))
            .bind(filter.aggregate_types().map(json_array))
            .bind(filter.event_types().map(json_array))
            .bind(filter.partition().total().get())
            .bind(filter.partition().index())
            .fetch(conn);
        record::collect_window(rows, window).await
    }

    async fn check_tables(&self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        self.statements.check_schema.run(conn, es::adapter::check_schema).await
    }

    async fn check_log_tables(&self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        self.statements.check_schema.run(conn, es::adapter::check_log_schema).await
    }

    async fn first_position_since(
        &self,
        conn: &mut SqliteConnection,
        time: DateTime<Utc>,
    ) -> Result<Option<Position>, StoreError> {
        let row = sqlx::query(self.statements.first_position_since.clone())
            .bind(time.timestamp_micros())
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        row.map(|row| record::number(&row, 0)).transpose()
    }
}

impl AppendStatements for SqliteEventStore {
    async fn insert_events(
        &self,
        conn: &mut SqliteConnection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<Insertion, StoreError> {
        let (sql, keep_prepared) = self.statements.append(events.len());
        let mut insert = sqlx::query(sql)
            .persistent(keep_prepared)
            .bind(stream.bounded_context().to_owned())
            .bind(stream.aggregate_type().to_owned())
            .bind(stream.aggregate_id().to_owned())
            .bind(stream.slot().get())
            .bind(expected.required().map(Version::get));
        for event in events {
            insert = insert
                .bind(event.id())
                .bind(event.event_type().to_owned())
                .bind(event.event_version())
                .bind(event.payload().to_vec())
                .bind(event.metadata().map(str::to_owned))
                .bind(event.correlation_id().map(str::to_owned))
                .bind(event.causation_id().map(str::to_owned))
                .bind(event.trace_id().map(str::to_owned))
                .bind(event.created_at().timestamp_micros());
        }
        match insert.fetch_all(&mut *conn).await {
            Ok(rows) => record::inserted(&rows),
            // An event id is taken. SQLite undoes the statement, not the transaction.
            Err(error) if is_taken_event_id(&error) => Ok(Insertion::Rejected),
            Err(error) => Err(self.refused(conn, store_error(error)).await),
        }
    }

    async fn existing_events(
        &self,
        conn: &mut SqliteConnection,
        events: &[Event],
    ) -> Result<Vec<ExistingEvent>, StoreError> {
        let ids = events.iter().map(|event| event.id().simple().to_string());
        let rows = sqlx::query(self.statements.existing_events.clone())
            .bind(json_array(ids))
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::existing_event).collect()
    }
}

/// SQLite has no arrays to bind; it reads JSON ones instead.
pub(crate) fn json_array(values: impl IntoIterator<Item = impl Into<String>>) -> String {
    let values = values.into_iter().map(|value| serde_json::Value::String(value.into()));
    serde_json::Value::Array(values.collect()).to_string()
}
