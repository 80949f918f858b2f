//! From rows to values.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use es::adapter::{
    EventRecord, ExistingEvent, InsertedEvents, Insertion, ReadWindow, SharedStrings, WindowEvents,
};
use es::{NegativeNumber, PersistedEvent, StoreError, StreamId};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::error::store_error;

/// The events of a read, in the order of its rows.
pub(crate) fn events(rows: &[SqliteRow]) -> Result<Vec<PersistedEvent>, StoreError> {
    let mut shared = SharedStrings::default();
    rows.iter().map(|row| event(row, &mut shared)).collect()
}

/// The events of a window. SQLite stops where it is no longer asked.
pub(crate) async fn collect_window(
    mut rows: BoxStream<'_, Result<SqliteRow, sqlx::Error>>,
    window: ReadWindow,
) -> Result<WindowEvents, StoreError> {
    let (mut shared, mut events) = (SharedStrings::default(), WindowEvents::new(window));
    while let Some(row) = rows.try_next().await.map_err(store_error)? {
        if !events.push(event(&row, &mut shared)?) {
            break;
        }
    }
    Ok(events)
}

/// The columns are those of `read_stream.sql` and `read_window.sql`, by number.
fn event(row: &SqliteRow, shared: &mut SharedStrings) -> Result<PersistedEvent, StoreError> {
    let record = event_record(row).map_err(store_error)?;
    let (created_at, recorded_at) = (time(row, 13)?, time(row, 14)?);
    PersistedEvent::from_record(EventRecord { created_at, recorded_at, ..record }, shared)
}

fn event_record(row: &SqliteRow) -> Result<EventRecord<'_>, sqlx::Error> {
    Ok(EventRecord {
        global_position: row.try_get(0)?,
        bounded_context: row.try_get(1)?,
        aggregate_type: row.try_get(2)?,
        aggregate_id: row.try_get(3)?,
        aggregate_version: row.try_get(4)?,
        event_id: row.try_get(5)?,
        event_type: row.try_get(6)?,
        event_version: row.try_get(7)?,
        payload: Bytes::from(row.try_get::<Vec<u8>, _>(8)?),
        metadata: row.try_get::<Option<String>, _>(9)?.map(Bytes::from),
        correlation_id: row.try_get(10)?,
        causation_id: row.try_get(11)?,
        trace_id: row.try_get(12)?,
        created_at: DateTime::UNIX_EPOCH,
        recorded_at: DateTime::UNIX_EPOCH,
    })
}

/// The rows of `append.sql`.
pub(crate) fn inserted(rows: &[SqliteRow]) -> Result<Insertion, StoreError> {
    let pair = |row: &SqliteRow| Ok((number(row, 0)?, number(row, 1)?));
    let rows = rows.iter().map(pair).collect::<Result<Vec<_>, StoreError>>()?;
    InsertedEvents::from_rows(rows).map(Insertion::from)
}

/// A row of `existing_events.sql`.
pub(crate) fn existing_event(row: &SqliteRow) -> Result<ExistingEvent, StoreError> {
    let text = |column: usize| row.try_get::<&str, _>(column).map_err(store_error);
    let stream = StreamId::new(text(1)?, text(2)?, text(3)?);
    Ok(ExistingEvent {
        event_id: row.try_get::<Uuid, _>(0).map_err(store_error)?,
        stream: stream.map_err(|error| StoreError::corrupt(error.to_string()))?,
        version: number(row, 4)?,
        position: number(row, 5)?,
    })
}

/// A column of microseconds since 1970.
fn time(row: &SqliteRow, column: usize) -> Result<DateTime<Utc>, StoreError> {
    let microseconds: i64 = row.try_get(column).map_err(store_error)?;
    DateTime::from_timestamp_micros(microseconds)
        .ok_or_else(|| StoreError::corrupt(format!("an impossible time, {microseconds}")))
}

/// A column that is never negative.
pub(crate) fn number<T: TryFrom<i64, Error = NegativeNumber>>(
    row: &SqliteRow,
    column: usize,
) -> Result<T, StoreError> {
    let number: i64 = row.try_get(column).map_err(store_error)?;
    T::try_from(number)
        .map_err(|negative| StoreError::corrupt(format!("a negative number: {negative}")))
}
