//! From rows to values.

use bytes::Bytes;
use chrono::DateTime;
use es::{
    EventRecord, ExistingEvent, InsertedEvents, Insertion, PartitionCheckpoint, PersistedEvent,
    SharedStrings, StoreError, StreamId,
};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::error::store_error;

/// The events of a read, in the order of its rows.
pub(crate) fn events(rows: &[SqliteRow]) -> Result<Vec<PersistedEvent>, StoreError> {
    let mut shared = SharedStrings::default();
    rows.iter().map(|row| event(row, &mut shared)).collect()
}

/// The columns are those of `read_stream.sql` and `read_window.sql`, by number.
fn event(row: &SqliteRow, shared: &mut SharedStrings) -> Result<PersistedEvent, StoreError> {
    let record = event_record(row).map_err(store_error)?;
    let microseconds: i64 = row.try_get(13).map_err(store_error)?;
    let created_at = DateTime::from_timestamp_micros(microseconds);
    let created_at = created_at.ok_or_else(|| {
        StoreError::corrupt(format!("event {} has an impossible time", record.global_position))
    })?;
    PersistedEvent::from_record(EventRecord { created_at, ..record }, shared)
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

/// A row of `checkpoints.sql`.
pub(crate) fn partition_checkpoint(row: &SqliteRow) -> Result<PartitionCheckpoint, StoreError> {
    let (index, total): (i64, i64) =
        (row.try_get(0).map_err(store_error)?, row.try_get(1).map_err(store_error)?);
    PartitionCheckpoint::from_record(index, total, row.try_get(2).map_err(store_error)?)
}

/// A column that is never negative.
pub(crate) fn number<T: TryFrom<i64, Error = i64>>(
    row: &SqliteRow,
    column: usize,
) -> Result<T, StoreError> {
    let number: i64 = row.try_get(column).map_err(store_error)?;
    T::try_from(number)
        .map_err(|negative| StoreError::corrupt(format!("a negative number, {negative}")))
}
