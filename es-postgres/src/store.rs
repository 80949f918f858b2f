//! The event store on a PostgreSQL connection.

use chrono::{DateTime, Utc};
use es::adapter::EventLog;
use std::collections::BTreeSet;
use std::sync::Arc;

use es::adapter::PerStatement;
use es::adapter::{
    AppendStatements, ExistingEvent, Insertion, ReadWindow, WindowEvents, append_guarded,
    import_numbered,
};
use es::{
    AppendError, AppendResult, Event, EventFilter, ExpectedVersion, Horizon, ImportError,
    ImportResult, Position, StoreError, Stream, StreamId, TableNames, Version, VersionRange,
};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row, SqlStr};
use uuid::Uuid;

use crate::error::{append_error, store_error};
use crate::horizon::horizon;
use crate::send::PgQuery;
use crate::statements::Statements;
use crate::{record, rows};

/// How far apart ids may be drawn that are looked for in one step, in milliseconds.
const MOMENT_MILLIS: u128 = 100;

/// An event store on PostgreSQL. Holds no connection; cloning is cheap.
#[derive(Debug, Clone)]
pub struct PgEventStore {
    statements: Arc<Statements>,
    pub(crate) projections: Arc<PerStatement<SqlStr>>,
    keeps_statements: bool,
}

impl PgEventStore {
    /// A store whose tables have these names.
    pub fn new(tables: &TableNames) -> Self {
        PgEventStore {
            statements: Arc::new(Statements::new(tables)),
            projections: Arc::new(rows::statements(tables)),
            keeps_statements: true,
        }
    }

    /// Prepares each statement again, without a name, at the price of a second round trip: for a
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
        let row =
            self.fetch_one(conn, &self.statements.notification_channel, |query| query).await?;
        if !row.try_get::<bool, _>(1).map_err(store_error)? {
            let events: String = row.try_get(2).map_err(store_error)?;
            return Err(StoreError::misuse(format_args!(
                "no trigger of {events} sends notifications, so a processor would wait for its poll \
                 interval: run the function and the trigger that `migrate-gen --database postgres \
                 --notify --stdout` prints at its end, or leave with_notifications out"
            )));
        }
        row.try_get(0).map_err(store_error)
    }

    /// Refuses to write if a row says, from this column on, that the sequence has gone back.
    pub(crate) fn check_positions(&self, row: &PgRow, column: usize) -> Result<(), StoreError> {
        let last: Position = record::number(row, column)?;
        let above: Option<i64> = row.try_get(column + 1).map_err(store_error)?;
        let Some(above) = above else { return Ok(()) };
        let sequence = &self.statements.sequence;
        let reason = format!(
            "the sequence of the positions stands at {last} and the table holds position {above}, \
             so new events would land where readers have already been: before anything is \
             appended, set it with `select setval('{sequence}', {above})`"
        );
        Err(StoreError::SchemaUnsafe { reason })
    }

    pub(crate) fn statements(&self) -> &Statements {
        &self.statements
    }

    pub(crate) fn query(&self, sql: &SqlStr) -> PgQuery<'static> {
        sqlx::query(sql.clone()).persistent(self.keeps_statements)
    }
}

impl Default for PgEventStore {
    /// A store whose tables have the default names.
    fn default() -> Self {
        PgEventStore::new(&TableNames::default())
    }
}

impl EventLog for PgEventStore {
    type Connection = PgConnection;

    async fn append_valid(
        &self,
        conn: &mut PgConnection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<AppendResult, AppendError> {
        append_guarded(self, conn, stream, expected, events).await
    }

    async fn import_all<I>(
        &self,
        conn: &mut PgConnection,
        events: I,
    ) -> Result<ImportResult, ImportError>
    where
        I: Iterator<Item = (StreamId, Event)> + Send,
    {
        import_numbered(self, conn, events).await
    }

    async fn version_of(
        &self,
        conn: &mut PgConnection,
        stream: &StreamId,
    ) -> Result<Version, StoreError> {
        let row = self
            .fetch_optional(conn, &self.statements.stream_version, |query| {
                query
                    .bind(stream.bounded_context())
                    .bind(stream.aggregate_type())
                    .bind(stream.aggregate_id())
            })
            .await?;
        row.map_or(Ok(Version::NONE), |row| record::number(&row, 0))
    }

    async fn events_of(
        &self,
        conn: &mut PgConnection,
        stream: &StreamId,
        versions: VersionRange,
    ) -> Result<Stream, StoreError> {
        let bind = |query| bind_range(query, stream, versions);
        let push = |events: &mut Vec<_>, event| {
            events.push(event);
            true
        };
        let sql = &self.statements.read_stream;
        let events = self.fetch_events(conn, sql, bind, Vec::new, push).await?;
        Ok(Stream::new(stream.clone(), events))
    }

    async fn horizon_after(
        &self,
        conn: &mut PgConnection,
        known: Position,
    ) -> Result<Horizon, StoreError> {
        let sql = &self.statements.horizon;
        horizon(&self.fetch_one(conn, sql, |query| query.bind(known.get())).await?)
    }

    async fn window(
        &self,
        conn: &mut PgConnection,
        window: ReadWindow,
        filter: &EventFilter,
    ) -> Result<WindowEvents, StoreError> {
        let sql = &self.statements.read_window;
        let bind = |query| bind_window(query, window, filter);
        let events = || WindowEvents::new(window);
        self.fetch_events(conn, sql, bind, events, WindowEvents::push).await
    }

    async fn check_tables(&self, conn: &mut PgConnection) -> Result<(), StoreError> {
        self.statements.check_schema.run(conn, es::adapter::check_schema).await
    }

    async fn check_log_tables(&self, conn: &mut PgConnection) -> Result<(), StoreError> {
        self.statements.check_schema.run(conn, es::adapter::check_log_schema).await
    }

    async fn first_position_since(
        &self,
        conn: &mut PgConnection,
        time: DateTime<Utc>,
    ) -> Result<Option<Position>, StoreError> {
        let sql = &self.statements.first_position_since;
        let row = self.fetch_optional(conn, sql, |query| query.bind(time)).await?;
        row.map(|row| record::number(&row, 0)).transpose()
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
        match events {
            [event] => {
                let sql = &self.statements.append_one;
                let bind = |query| bind_first(query, stream, expected, event);
                let rows = self.try_fetch_all(conn, sql, bind).await;
                record::inserted_one(&rows.map_err(|error| append_error(sql.as_str(), error))?)
            }
            [first, others @ ..] => {
                let sql = &self.statements.append;
                let bind = |query| bind_others(bind_first(query, stream, expected, first), others);
                let rows = self.try_fetch_all(conn, sql, bind).await;
                record::inserted(&rows.map_err(|error| append_error(sql.as_str(), error))?)
            }
            // An append was checked to have events.
            [] => Ok(Insertion::Rejected),
        }
    }

    async fn existing_events(
        &self,
        conn: &mut PgConnection,
        events: &[Event],
    ) -> Result<Vec<ExistingEvent>, StoreError> {
        let ids: Vec<_> = events.iter().map(Event::id).collect();
        let sql = &self.statements.existing_events;
        let rows = self.fetch_all(conn, sql, |query| query.bind(&ids)).await?;
        if let Some(row) = rows.first() {
            self.check_positions(row, 6)?;
        }
        rows.iter().filter_map(|row| record::existing_event(row).transpose()).collect()
    }
}

/// What `read_stream.sql` takes.
fn bind_range<'q>(query: PgQuery<'q>, stream: &'q StreamId, versions: VersionRange) -> PgQuery<'q> {
    query
        .bind(stream.bounded_context())
        .bind(stream.aggregate_type())
        .bind(stream.aggregate_id())
        .bind(versions.first().get())
        .bind(versions.last().get())
}

/// What `read_window.sql` takes.
fn bind_window<'q>(query: PgQuery<'q>, window: ReadWindow, filter: &'q EventFilter) -> PgQuery<'q> {
    query
        .bind(window.after().get())
        .bind(window.through().get())
        .bind(i64::from(window.events_max()))
        .bind(filter.bounded_contexts().map(array))
        .bind(filter.aggregate_types().map(array))
        .bind(filter.event_types().map(array))
        .bind(i32::from(filter.partition().total().get()))
        .bind(i32::from(filter.partition().index()))
}

/// What `append_one.sql` takes, and `append.sql` of the first event.
fn bind_first<'q>(
    query: PgQuery<'q>,
    stream: &'q StreamId,
    expected: ExpectedVersion,
    event: &'q Event,
) -> PgQuery<'q> {
    query
        .bind(stream.bounded_context())
        .bind(stream.aggregate_type())
        .bind(stream.aggregate_id())
        .bind(stream.slot().get().cast_signed())
        .bind(expected.required().map(Version::get))
        .bind(event.id())
        .bind(event.event_type())
        .bind(i32::from(event.event_version()))
        .bind(event.payload())
        .bind(event.metadata())
        .bind(event.correlation_id())
        .bind(event.causation_id())
        .bind(event.trace_id())
        .bind(event.created_at())
}

/// What `append.sql` takes of the events after the first.
fn bind_others<'q>(insert: PgQuery<'q>, others: &'q [Event]) -> PgQuery<'q> {
    let (least, greatest) = drawn_together(others).unzip();
    insert
        .bind(others.iter().map(Event::id).collect::<Vec<_>>())
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

/// The least and the greatest id, if they are of version 7 and were drawn within a moment: between
/// others there may be any number of ids to step over.
fn drawn_together(events: &[Event]) -> Option<(Uuid, Uuid)> {
    let ids = || events.iter().map(Event::id);
    let (least, greatest) = (ids().min()?, ids().max()?);
    let is_dated = |id: Uuid| id.get_version_num() == 7;
    let millis = |id: Uuid| id.as_u128() >> 80;
    let is_close =
        is_dated(least) && is_dated(greatest) && millis(greatest) - millis(least) <= MOMENT_MILLIS;
    is_close.then_some((least, greatest))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn events(ids: &[&str]) -> Vec<Event> {
        let event = |id: &&str| Event::new("E", "1").unwrap().with_id(id.parse().unwrap());
        ids.iter().map(event).collect()
    }

    #[test]
    fn ids_are_together_if_they_were_drawn_within_a_moment() {
        let first = "01890000-0000-7000-8000-000000000000";
        let moment_later = "01890000-0064-7000-8000-000000000000";
        let later = "01890000-0065-7000-8000-000000000000";
        let random = "01890000-0001-4000-8000-000000000000";
        let ids = |ids: &[&str]| drawn_together(&events(ids)).map(<[Uuid; 2]>::from);
        let uuid = |id: &str| id.parse::<Uuid>().unwrap();
        assert_eq!(ids(&[moment_later, first]), Some([uuid(first), uuid(moment_later)]));
        assert_eq!(ids(&[first]), Some([uuid(first), uuid(first)]));
        assert_eq!(ids(&[first, later]), None);
        assert_eq!(ids(&[first, random]), None);
        assert_eq!(ids(&[]), None);
    }
}
