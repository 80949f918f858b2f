//! The event store on a PostgreSQL connection.

use std::collections::BTreeSet;
use std::sync::Arc;

use es::{
    AppendError, AppendResult, AppendStatements, Event, EventFilter, EventStore, ExistingEvent,
    ExpectedVersion, Horizon, ImportError, ImportResult, Insertion, PersistedEvent, Position,
    ReadWindow, StoreError, Stream, StreamId, TableNames, Version, VersionRange, append_guarded,
    import_numbered,
};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row, SqlStr};

use crate::error::{append_error, store_error};
use crate::event_row;
use crate::horizon::horizon;
use crate::projection_statements::ProjectionStatements;
use crate::record;
use crate::schema;
use crate::statements::Statements;

/// An event store on PostgreSQL. Holds no connection; cloning is cheap.
#[derive(Debug, Clone)]
pub struct PgEventStore {
    statements: Arc<Statements>,
    pub(crate) projections: Arc<ProjectionStatements>,
    keeps_statements: bool,
}

impl PgEventStore {
    /// A store whose tables have these names.
    pub fn new(tables: &TableNames) -> Self {
        PgEventStore {
            statements: Arc::new(Statements::new(tables)),
            projections: Arc::new(ProjectionStatements::new(tables)),
            keeps_statements: true,
        }
    }

    /// Prepares each statement anew, without a name, at the price of a second round trip: for a
    /// pooler that gives every transaction another server connection and does not carry prepared
    /// statements over. Use the store inside transactions only then, see the crate's documentation.
    #[must_use]
    pub fn with_unnamed_statements(self) -> Self {
        PgEventStore { keeps_statements: false, ..self }
    }

    pub(crate) async fn notification_channel(
        &self,
        conn: &mut PgConnection,
    ) -> Result<String, StoreError> {
        let row = self.query(&self.statements.notification_channel).fetch_one(conn).await;
        row.and_then(|row| row.try_get(0)).map_err(store_error)
    }

    pub(crate) fn statements(&self) -> &Statements {
        &self.statements
    }

    pub(crate) fn query(&self, sql: &SqlStr) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(sql.clone()).persistent(self.keeps_statements)
    }
}

impl Default for PgEventStore {
    /// A store whose tables have the default names.
    fn default() -> Self {
        PgEventStore::new(&TableNames::default())
    }
}

impl EventStore for PgEventStore {
    type Connection = PgConnection;

    async fn append(
        &self,
        conn: &mut PgConnection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<AppendResult, AppendError> {
        append_guarded(self, conn, stream, expected, events).await
    }

    async fn import<I>(
        &self,
        conn: &mut PgConnection,
        events: I,
    ) -> Result<ImportResult, ImportError>
    where
        I: IntoIterator<Item = (StreamId, Event), IntoIter: Send> + Send,
    {
        import_numbered(self, conn, events.into_iter()).await
    }

    async fn stream_version(
        &self,
        conn: &mut PgConnection,
        stream: &StreamId,
    ) -> Result<Version, StoreError> {
        let row = self
            .query(&self.statements.stream_version)
            .bind(stream.bounded_context())
            .bind(stream.aggregate_type())
            .bind(stream.aggregate_id())
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        row.map_or(Ok(Version::NONE), |row| record::number(&row, 0))
    }

    async fn read_stream(
        &self,
        conn: &mut PgConnection,
        stream: &StreamId,
        versions: impl Into<VersionRange> + Send,
    ) -> Result<Stream, StoreError> {
        let versions = versions.into();
        let rows = self
            .query(&self.statements.read_stream)
            .bind(stream.bounded_context())
            .bind(stream.aggregate_type())
            .bind(stream.aggregate_id())
            .bind(versions.first().get())
            .bind(versions.last().get())
            .fetch(conn);
        Ok(Stream::new(stream.clone(), event_row::collect(rows).await?))
    }

    async fn horizon(
        &self,
        conn: &mut PgConnection,
        known: Position,
    ) -> Result<Horizon, StoreError> {
        let row = self
            .query(&self.statements.horizon)
            .bind(known.get())
            .fetch_one(conn)
            .await
            .map_err(store_error)?;
        horizon(&row)
    }

    async fn read_window(
        &self,
        conn: &mut PgConnection,
        window: ReadWindow,
        filter: &EventFilter,
    ) -> Result<Vec<PersistedEvent>, StoreError> {
        let rows = self
            .query(&self.statements.read_window)
            .bind(window.after().get())
            .bind(window.through().get())
            .bind(i64::from(window.events_max()))
            .bind(filter.bounded_contexts().map(array))
            .bind(filter.aggregate_types().map(array))
            .bind(filter.event_types().map(array))
            .bind(i32::from(filter.partition().total()))
            .bind(i32::from(filter.partition().index()))
            .fetch(conn);
        event_row::collect(rows).await
    }

    async fn check_schema(&self, conn: &mut PgConnection) -> Result<(), StoreError> {
        let row = self
            .query(&self.statements.check_schema)
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        match row {
            Some(row) => schema::check(&row),
            None => Err(schema::no_sequence()),
        }
    }
}

impl AppendStatements for PgEventStore {
    async fn insert_events(
        &self,
        conn: &mut PgConnection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<Insertion, StoreError> {
        let Some((first, others)) = events.split_first() else { return Ok(Insertion::Rejected) };
        let insert = self.insert(stream, expected, first, others);
        let rows = insert.fetch_all(conn).await.map_err(append_error)?;
        if others.is_empty() { record::inserted_one(&rows) } else { record::inserted(&rows) }
    }

    async fn existing_events(
        &self,
        conn: &mut PgConnection,
        events: &[Event],
    ) -> Result<Vec<ExistingEvent>, StoreError> {
        let rows = self
            .query(&self.statements.existing_events)
            .bind(events.iter().map(Event::id).collect::<Vec<_>>())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        rows.iter().map(record::existing_event).collect()
    }
}

impl PgEventStore {
    /// `append_one.sql` or, if there are others, `append.sql`.
    fn insert<'q>(
        &self,
        stream: &'q StreamId,
        expected: ExpectedVersion,
        first: &'q Event,
        others: &'q [Event],
    ) -> Query<'q, Postgres, PgArguments> {
        let statements = &self.statements;
        let sql = if others.is_empty() { &statements.append_one } else { &statements.append };
        let insert = self
            .query(sql)
            .bind(stream.bounded_context())
            .bind(stream.aggregate_type())
            .bind(stream.aggregate_id())
            .bind(stream.slot().get().cast_signed())
            .bind(expected.required().map(Version::get))
            .bind(first.id())
            .bind(first.event_type())
            .bind(i32::from(first.event_version()))
            .bind(first.payload())
            .bind(first.metadata())
            .bind(first.correlation_id())
            .bind(first.causation_id())
            .bind(first.trace_id())
            .bind(first.created_at());
        let ids = || others.iter().map(Event::id);
        let (Some(least), Some(greatest)) = (ids().min(), ids().max()) else { return insert };
        insert
            .bind(ids().collect::<Vec<_>>())
            .bind(others.iter().map(Event::event_type).collect::<Vec<_>>())
            .bind(others.iter().map(|event| i32::from(event.event_version())).collect::<Vec<_>>())
            .bind(others.iter().map(Event::payload).collect::<Vec<_>>())
            .bind(optional(others, Event::metadata))
            .bind(optional(others, Event::correlation_id))
            .bind(optional(others, Event::causation_id))
            .bind(optional(others, Event::trace_id))
            .bind(others.iter().map(Event::created_at).collect::<Vec<_>>())
            .bind(least)
            .bind(greatest)
    }
}

/// A column of nulls is no array at all: the statement fills it up.
fn optional<'q, T>(
    events: &'q [Event],
    value: fn(&'q Event) -> Option<T>,
) -> Option<Vec<Option<T>>> {
    let values: Vec<_> = events.iter().map(value).collect();
    values.iter().any(Option::is_some).then_some(values)
}

fn array(names: &BTreeSet<String>) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}
