//! From rows to values.

use bytes::Bytes;
use chrono::NaiveDateTime;
use es::{
    Checkpoint, CheckpointError, CheckpointRecord, DeadLetter, DeadLetterRecord, EventRecord,
    ExistingEvent, NegativeNumber, Partition, PartitionCheckpoint, PartitionRecord, PartitionState,
    PersistedEvent, ProjectionName, ProjectionState, SharedStrings, StoreError, StreamId, WorkerId,
};
use sqlx::Row;
use sqlx::mysql::MySqlRow;

use crate::error::store_error;

/// The events of a read, in the order of its rows.
pub(crate) fn events(rows: &[MySqlRow]) -> Result<Vec<PersistedEvent>, StoreError> {
    let mut shared = SharedStrings::default();
    rows.iter().map(|row| event(row, &mut shared)).collect()
}

pub(crate) fn event(
    row: &MySqlRow,
    shared: &mut SharedStrings,
) -> Result<PersistedEvent, StoreError> {
    let record = event_record(row).map_err(store_error)?;
    PersistedEvent::from_record(record, shared)
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

/// A row of `lock_checkpoint.sql` and the one of `checkpoint_settings.sql` that goes with it.
pub(crate) fn checkpoint(
    row: &MySqlRow,
    settings: &MySqlRow,
    projection: &ProjectionName,
    partition: Partition,
) -> Result<Checkpoint, CheckpointError> {
    let record = CheckpointRecord {
        position: row.try_get(0).map_err(store_error)?,
        epoch: row.try_get(1).map_err(store_error)?,
        replay_until: row.try_get(2).map_err(store_error)?,
        stop_at: row.try_get(3).map_err(store_error)?,
        attempts: row.try_get::<i32, _>(4).map_err(store_error)?.into(),
        failing_position: row.try_get(5).map_err(store_error)?,
        is_attempt_open: row.try_get(6).map_err(store_error)?,
        partition_total: settings.try_get::<i32, _>(0).map_err(store_error)?.into(),
        is_paused: settings.try_get(1).map_err(store_error)?,
        has_dead_letters: settings.try_get::<i64, _>(2).map_err(store_error)? != 0,
    };
    Checkpoint::from_record(record, projection, partition)
}

/// A row of `projections.sql` or `lock_projection.sql`.
pub(crate) fn projection(row: &MySqlRow) -> Result<ProjectionState, StoreError> {
    let total: i32 = row.try_get(1).map_err(store_error)?;
    let is_paused = row.try_get(2).map_err(store_error)?;
    let rescale_to: Option<i32> = row.try_get(3).map_err(store_error)?;
    let name = row.try_get(0).map_err(store_error)?;
    ProjectionState::from_record(name, total.into(), is_paused, rescale_to.map(i64::from))
}

/// A row of `partitions.sql`.
pub(crate) fn partition(row: &MySqlRow) -> Result<PartitionState, StoreError> {
    let integer = |column: usize| row.try_get::<i32, _>(column).map_err(store_error);
    PartitionState::from_record(PartitionRecord {
        partition_index: integer(0)?.into(),
        partition_total: integer(1)?.into(),
        position: row.try_get(2).map_err(store_error)?,
        epoch: row.try_get(3).map_err(store_error)?,
        replay_until: row.try_get(4).map_err(store_error)?,
        stop_at: row.try_get(5).map_err(store_error)?,
        owner: row.try_get(6).map_err(store_error)?,
        lease_left_micros: row.try_get(7).map_err(store_error)?,
        attempts: integer(8)?.into(),
        last_error: row.try_get(9).map_err(store_error)?,
        failing_position: row.try_get(10).map_err(store_error)?,
    })
}

/// A row of `workers.sql`.
pub(crate) fn worker(row: &MySqlRow) -> Result<WorkerId, StoreError> {
    let name: &str = row.try_get(0).map_err(store_error)?;
    WorkerId::new(name).map_err(|error| StoreError::corrupt(error.to_string()))
}

/// A row of `dead_letters.sql` or `dead_letter_queue.sql`.
pub(crate) fn dead_letter(row: &MySqlRow) -> Result<DeadLetter, StoreError> {
    DeadLetter::from_record(DeadLetterRecord {
        position: row.try_get(0).map_err(store_error)?,
        bounded_context: row.try_get(1).map_err(store_error)?,
        aggregate_type: row.try_get(2).map_err(store_error)?,
        aggregate_id: row.try_get(3).map_err(store_error)?,
        attempts: row.try_get::<i32, _>(4).map_err(store_error)?.into(),
        error: row.try_get(5).map_err(store_error)?,
        parked_at: row.try_get::<NaiveDateTime, _>(6).map_err(store_error)?.and_utc(),
    })
}

/// A row of `dead_letter_counts.sql`.
pub(crate) fn dead_letter_count(row: &MySqlRow) -> Result<(u16, u64), StoreError> {
    let index: i64 = row.try_get(0).map_err(store_error)?;
    let index = u16::try_from(index);
    let index = index.map_err(|error| StoreError::corrupt(error.to_string()))?;
    let count: i64 = row.try_get(1).map_err(store_error)?;
    Ok((index, count.unsigned_abs()))
}

/// A row of `parked_streams.sql`.
pub(crate) fn stream(row: &MySqlRow) -> Result<StreamId, StoreError> {
    let text = |column: usize| row.try_get::<&str, _>(column).map_err(store_error);
    let stream = StreamId::new(text(0)?, text(1)?, text(2)?);
    stream.map_err(|error| StoreError::corrupt(error.to_string()))
}

/// A `bigint` that is never negative.
pub(crate) fn number<T: TryFrom<i64, Error = NegativeNumber>>(
    row: &MySqlRow,
    column: usize,
) -> Result<T, StoreError> {
    let number: i64 = row.try_get(column).map_err(store_error)?;
    T::try_from(number)
        .map_err(|negative| StoreError::corrupt(format!("a negative number: {negative}")))
}
