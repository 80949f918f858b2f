//! From rows to values.

use es::{
    Checkpoint, CheckpointError, CheckpointRecord, DeadLetter, DeadLetterRecord, ExistingEvent,
    InsertedEvents, Insertion, NegativeNumber, Partition, PartitionCheckpoint, PartitionRecord,
    PartitionState, Position, ProjectionName, ProjectionState, StoreError, StreamId, Version,
    WorkerId,
};
use sqlx::postgres::PgRow;
use sqlx::{Row, TypeInfo, ValueRef};

use crate::error::store_error;
use crate::event_row;

/// The row of `append_one.sql`.
pub(crate) fn inserted_one(rows: &[PgRow]) -> Result<Insertion, StoreError> {
    InsertedEvents::from_rows(versions_and_positions(rows)?).map(Insertion::from)
}

/// The rows of `append.sql`: one for each event but the first, and in each the first's position.
pub(crate) fn inserted(rows: &[PgRow]) -> Result<Insertion, StoreError> {
    let mut pairs = versions_and_positions(rows)?;
    if let (Some((second, _)), Some(row)) = (pairs.iter().min().copied(), rows.first()) {
        pairs.push((second.previous(), number(row, 2)?));
    }
    InsertedEvents::from_rows(pairs).map(Insertion::from)
}

fn versions_and_positions(rows: &[PgRow]) -> Result<Vec<(Version, Position)>, StoreError> {
    rows.iter().map(|row| Ok((number(row, 0)?, number(row, 1)?))).collect()
}

/// A row of `existing_events.sql`; `None` for the one that only says where the sequence stands.
pub(crate) fn existing_event(row: &PgRow) -> Result<Option<ExistingEvent>, StoreError> {
    let event_id: Option<uuid::Uuid> = row.try_get(0).map_err(store_error)?;
    let Some(event_id) = event_id else { return Ok(None) };
    let text = |column: usize| row.try_get::<&str, _>(column).map_err(store_error);
    let stream = StreamId::new(text(1)?, text(2)?, text(3)?);
    Ok(Some(ExistingEvent {
        event_id,
        stream: stream.map_err(|error| StoreError::corrupt(error.to_string()))?,
        version: number(row, 4)?,
        position: number(row, 5)?,
    }))
}

/// A row of `checkpoints.sql`.
pub(crate) fn partition_checkpoint(row: &PgRow) -> Result<PartitionCheckpoint, StoreError> {
    let integer = |column: usize| row.try_get::<i32, _>(column).map_err(store_error);
    let position = row.try_get(2).map_err(store_error)?;
    PartitionCheckpoint::from_record(integer(0)?.into(), integer(1)?.into(), position)
}

/// A row of `lock_checkpoint.sql` and the one of `checkpoint_settings.sql` that goes with it.
pub(crate) fn checkpoint(
    row: &PgRow,
    settings: &PgRow,
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
        has_dead_letters: settings.try_get::<bool, _>(2).map_err(store_error)?,
    };
    Checkpoint::from_record(record, projection, partition)
}

/// A row of `projections.sql` or `lock_projection.sql`.
pub(crate) fn projection(row: &PgRow) -> Result<ProjectionState, StoreError> {
    let total: i32 = row.try_get(1).map_err(store_error)?;
    let is_paused = row.try_get(2).map_err(store_error)?;
    let rescale_to: Option<i32> = row.try_get(3).map_err(store_error)?;
    let name = row.try_get(0).map_err(store_error)?;
    ProjectionState::from_record(name, total.into(), is_paused, rescale_to.map(i64::from))
}

/// A row of `partitions.sql`.
pub(crate) fn partition(row: &PgRow) -> Result<PartitionState, StoreError> {
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
pub(crate) fn worker(row: &PgRow) -> Result<WorkerId, StoreError> {
    let name: &str = row.try_get(0).map_err(store_error)?;
    WorkerId::new(name).map_err(|error| StoreError::corrupt(error.to_string()))
}

/// A row of `dead_letters.sql` or `dead_letter_queue.sql`.
pub(crate) fn dead_letter(row: &PgRow) -> Result<DeadLetter, StoreError> {
    DeadLetter::from_record(DeadLetterRecord {
        position: row.try_get(0).map_err(store_error)?,
        bounded_context: row.try_get(1).map_err(store_error)?,
        aggregate_type: row.try_get(2).map_err(store_error)?,
        aggregate_id: row.try_get(3).map_err(store_error)?,
        attempts: row.try_get::<i32, _>(4).map_err(store_error)?.into(),
        error: row.try_get(5).map_err(store_error)?,
        parked_at: time(row, 6)?,
    })
}

/// A time, from its bytes: sqlx panics at one that Rust does not know.
fn time(row: &PgRow, column: usize) -> Result<chrono::DateTime<chrono::Utc>, StoreError> {
    let value = row.try_get_raw(column).map_err(store_error)?;
    let of = || row.try_get::<i64, _>(0).map_or_else(|_| String::new(), |at| format!(" {at}"));
    let corrupt =
        |what| StoreError::corrupt(format!("the dead letter{} has parked_at {what}", of()));
    if value.type_info().name() != "TIMESTAMPTZ" {
        return Err(corrupt("of another type"));
    }
    let bytes = value.as_bytes().ok().and_then(|bytes| bytes.try_into().ok());
    let micros = bytes.map(i64::from_be_bytes).ok_or_else(|| corrupt("null"))?;
    event_row::time(micros).ok_or_else(|| corrupt("at no time Rust knows"))
}

/// A row of `dead_letter_counts.sql`.
pub(crate) fn dead_letter_count(row: &PgRow) -> Result<(u16, u64), StoreError> {
    let index: i32 = row.try_get(0).map_err(store_error)?;
    let index = u16::try_from(index);
    let index = index.map_err(|error| StoreError::corrupt(error.to_string()))?;
    let count: i64 = row.try_get(1).map_err(store_error)?;
    Ok((index, count.unsigned_abs()))
}

/// A row of `parked_streams.sql`.
pub(crate) fn stream(row: &PgRow) -> Result<StreamId, StoreError> {
    let text = |column: usize| row.try_get::<&str, _>(column).map_err(store_error);
    let stream = StreamId::new(text(0)?, text(1)?, text(2)?);
    stream.map_err(|error| StoreError::corrupt(error.to_string()))
}

/// A `bigint` that is never negative.
pub(crate) fn number<T: TryFrom<i64, Error = NegativeNumber>>(
    row: &PgRow,
    column: usize,
) -> Result<T, StoreError> {
    let number: i64 = row.try_get(column).map_err(store_error)?;
    T::try_from(number)
        .map_err(|negative| StoreError::corrupt(format!("a negative number: {negative}")))
}
