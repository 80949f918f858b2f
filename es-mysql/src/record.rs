//! From rows to values.

use bytes::Bytes;
use es::{
    EventRecord, ExistingEvent, PartitionCheckpoint, PersistedEvent, SharedStrings, StoreError,
    StreamId,
};
use sqlx::Row;
use sqlx::mysql::MySqlRow;

use crate::error::store_error;

/// The events of a read, in the order of its rows.
pub(crate) fn events(rows: &[MySqlRow]) -> Result<Vec<PersistedEvent>, StoreError> {
    let mut shared = SharedStrings::default();
    let event = |row| {
        let record = event_record(row).map_err(store_error)?;
        PersistedEvent::from_record(record, &mut shared)
    };
    rows.iter().map(event).collect()
}

/// The columns are those of `read_stream.sql` and `read_window.sql`, by number.
fn event_record(row: &MySqlRow) -> Result<EventRecord<'_>, sqlx::Error> {
    let metadata = row.try_get::<Option<&str>, _>(9)?;
    Ok(EventRecord {
        global_position: row.try_get(0)?,
        bounded_context: row.try_get(1)?,
        aggregate_type: row.try_get(2)?,
        aggregate_id: row.try_get(3)?,
        aggregate_version: row.try_get(4)?,
        event_id: row.try_get(5)?,
        event_type: row.try_get(6)?,
        event_version: row.try_get::<i32, _>(7)?.into(),
        payload: Bytes::copy_from_slice(row.try_get(8)?),
        metadata: metadata.map(|json| Bytes::copy_from_slice(json.as_bytes())),
        correlation_id: row.try_get(10)?,
        causation_id: row.try_get(11)?,
        trace_id: row.try_get(12)?,
        created_at: row.try_get(13)?,
    })
}

/// A row of `existing_events.sql`.
pub(crate) fn existing_event(row: &MySqlRow) -> Result<ExistingEvent, StoreError> {
    let text = |column: usize| row.try_get::<&str, _>(column).map_err(store_error);
    let stream = StreamId::new(text(1)?, text(2)?, text(3)?);
    Ok(ExistingEvent {
        event_id: row.try_get(0).map_err(store_error)?,
        stream: stream.map_err(|error| StoreError::corrupt(error.to_string()))?,
        version: number(row, 4)?,
        position: number(row, 5)?,
    })
}

/// A row of `checkpoints.sql`.
pub(crate) fn partition_checkpoint(row: &MySqlRow) -> Result<PartitionCheckpoint, StoreError> {
    let integer = |column: usize| row.try_get::<i32, _>(column).map_err(store_error);
    let position = row.try_get(2).map_err(store_error)?;
    PartitionCheckpoint::from_record(integer(0)?.into(), integer(1)?.into(), position)
}

/// A `bigint` that is never negative.
pub(crate) fn number<T: TryFrom<i64, Error = i64>>(
    row: &MySqlRow,
    column: usize,
) -> Result<T, StoreError> {
    let number: i64 = row.try_get(column).map_err(store_error)?;
    T::try_from(number)
        .map_err(|negative| StoreError::corrupt(format!("a negative number, {negative}")))
}
