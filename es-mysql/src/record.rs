//! From rows to values.

use bytes::Bytes;
use chrono::NaiveDateTime;
use es::{
    Checkpoint, CheckpointError, CheckpointRecord, DeadLetter, DeadLetterRecord, EventRecord,
    ExistingEvent, NegativeNumber, Partition, PartitionCheckpoint, PartitionRecord, PartitionState,
    PersistedEvent, ProjectionName, ProjectionState, SharedStrings, StoreError, StreamId, WorkerId,
};
use sqlx::mysql::MySqlRow;
use sqlx::{Column, Row};

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
    let record = event_record(row).map_err(|error| undecodable(row, error))?;
    PersistedEvent::from_record(record, shared)
}

/// The columns are those of `read_stream.sql` and `read_window.sql`, by number.
fn event_record(row: &MySqlRow) -> Result<EventRecord<'_>, sqlx::Error> {
    let metadata = row.try_get::<Option<&[u8]>, _>(9)?;
    if let Some(metadata) = metadata {
        as_text(row, 9, metadata)?;
    }
    Ok(EventRecord {
        global_position: row.try_get(0)?,
        bounded_context: text(row, 1)?,
        aggregate_type: text(row, 2)?,
        aggregate_id: text(row, 3)?,
        aggregate_version: row.try_get(4)?,
        event_id: row.try_get(5)?,
        event_type: text(row, 6)?,
        event_version: row.try_get::<i32, _>(7)?.into(),
        payload: Bytes::copy_from_slice(row.try_get(8)?),
        metadata: metadata.map(Bytes::copy_from_slice),
        correlation_id: row.try_get(10)?,
        causation_id: row.try_get(11)?,
        trace_id: row.try_get(12)?,
        created_at: row.try_get(13)?,
    })
}

/// A name that comes as bytes, which no character set of the session changes.
fn text(row: &MySqlRow, column: usize) -> Result<&str, sqlx::Error> {
    as_text(row, column, row.try_get(column)?)
}

fn as_text<'r>(row: &MySqlRow, column: usize, bytes: &'r [u8]) -> Result<&'r str, sqlx::Error> {
    str::from_utf8(bytes).map_err(|error| sqlx::Error::ColumnDecode {
        index: row.column(column).name().to_owned(),
        source: error.into(),
    })
}

/// A row of `existing_events.sql`.
pub(crate) fn existing_event(row: &MySqlRow) -> Result<ExistingEvent, StoreError> {
    let text = |column: usize| text(row, column).map_err(|error| undecodable(row, error));
    let stream = StreamId::new(text(1)?, text(2)?, text(3)?);
    Ok(ExistingEvent {
        event_id: value(row, 0)?,
        stream: stream.map_err(|error| StoreError::corrupt(error.to_string()))?,
        version: number(row, 4)?,
        position: number(row, 5)?,
    })
}

/// A value of any column; the error names the column and the row's first one.
pub(crate) fn value<'r, T>(row: &'r MySqlRow, column: usize) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::MySql> + sqlx::Type<sqlx::MySql>,
{
    row.try_get(column).map_err(|error| undecodable(row, error))
}

/// sqlx names a column that is asked for by its number by that.
fn undecodable(row: &MySqlRow, error: sqlx::Error) -> StoreError {
    let sqlx::Error::ColumnDecode { index, source } = error else {
        return store_error(error);
    };
    let column = index.parse().ok().and_then(|index: usize| row.columns().get(index));
    let name = column.map_or(index.as_str(), sqlx::Column::name);
    StoreError::corrupt(format!("a value in the column {name} that cannot be read: {source}"))
}

/// A row of `checkpoints.sql`.
pub(crate) fn partition_checkpoint(row: &MySqlRow) -> Result<PartitionCheckpoint, StoreError> {
    let integer = |column: usize| value::<i32>(row, column);
    let position = value(row, 2)?;
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
        position: value(row, 0)?,
        epoch: value(row, 1)?,
        replay_until: value(row, 2)?,
        stop_at: value(row, 3)?,
        attempts: value::<i32>(row, 4)?.into(),
        failing_position: value(row, 5)?,
        is_attempt_open: value(row, 6)?,
        partition_total: value::<i32>(settings, 0)?.into(),
        is_paused: value(settings, 1)?,
        has_dead_letters: value::<i64>(settings, 2)? != 0,
    };
    Checkpoint::from_record(record, projection, partition)
}

/// A row of `projections.sql` or `lock_projection.sql`.
pub(crate) fn projection(row: &MySqlRow) -> Result<ProjectionState, StoreError> {
    let total: i32 = value(row, 1)?;
    let is_paused = value(row, 2)?;
    let rescale_to: Option<i32> = value(row, 3)?;
    let name = value(row, 0)?;
    ProjectionState::from_record(name, total.into(), is_paused, rescale_to.map(i64::from))
}

/// A row of `partitions.sql`.
pub(crate) fn partition(row: &MySqlRow) -> Result<PartitionState, StoreError> {
    let integer = |column: usize| value::<i32>(row, column);
    PartitionState::from_record(PartitionRecord {
        partition_index: integer(0)?.into(),
        partition_total: integer(1)?.into(),
        position: value(row, 2)?,
        epoch: value(row, 3)?,
        replay_until: value(row, 4)?,
        stop_at: value(row, 5)?,
        owner: value(row, 6)?,
        lease_left_micros: value(row, 7)?,
        attempts: integer(8)?.into(),
        last_error: value(row, 9)?,
        failing_position: value(row, 10)?,
    })
}

/// A row of `workers.sql`.
pub(crate) fn worker(row: &MySqlRow) -> Result<WorkerId, StoreError> {
    let name: &str = value(row, 0)?;
    WorkerId::new(name).map_err(|error| StoreError::corrupt(error.to_string()))
}

/// A row of `dead_letters.sql` or `dead_letter_queue.sql`.
pub(crate) fn dead_letter(row: &MySqlRow) -> Result<DeadLetter, StoreError> {
    DeadLetter::from_record(DeadLetterRecord {
        position: value(row, 0)?,
        bounded_context: value(row, 1)?,
        aggregate_type: value(row, 2)?,
        aggregate_id: value(row, 3)?,
        attempts: value::<i32>(row, 4)?.into(),
        error: value(row, 5)?,
        parked_at: value::<NaiveDateTime>(row, 6)?.and_utc(),
    })
}

/// A row of `dead_letter_counts.sql`.
pub(crate) fn dead_letter_count(row: &MySqlRow) -> Result<(u16, u64), StoreError> {
    let index: i64 = value(row, 0)?;
    let index = u16::try_from(index);
    let index = index.map_err(|error| StoreError::corrupt(error.to_string()))?;
    let count: i64 = value(row, 1)?;
    Ok((index, count.unsigned_abs()))
}

/// A row of `parked_streams.sql`.
pub(crate) fn stream(row: &MySqlRow) -> Result<StreamId, StoreError> {
    let text = |column: usize| value::<&str>(row, column);
    let stream = StreamId::new(text(0)?, text(1)?, text(2)?);
    stream.map_err(|error| StoreError::corrupt(error.to_string()))
}

/// A `bigint` that is never negative.
pub(crate) fn number<T: TryFrom<i64, Error = NegativeNumber>>(
    row: &MySqlRow,
    column: usize,
) -> Result<T, StoreError> {
    let number: i64 = value(row, column)?;
    T::try_from(number).map_err(|negative| {
        let name = row.column(column).name();
        StoreError::corrupt(format!("a negative number in the column {name}, {negative}"))
    })
}
