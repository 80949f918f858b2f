//! From rows to what they say.

use super::row::Row;
use crate::checkpoint::{Checkpoint, CheckpointError, PartitionCheckpoint, ProjectionName};
use crate::error::StoreError;
use crate::partition::Partition;
use crate::partition_count::PartitionCount;
use crate::projection_state::{DeadLetter, PartitionState, ProjectionState};
use crate::stream_id::StreamId;

use std::time::Duration;

/// Rows of `lock_checkpoint.sql` and of `checkpoint_settings.sql` that belong together.
pub(super) fn checkpoint(row: &Row, settings: &Row) -> Result<Checkpoint, StoreError> {
    Ok(Checkpoint {
        position: row.get("position")?,
        epoch: row.get("epoch")?,
        replay_until: row.get("replay_until")?,
        stop_at: row.get_optional("stop_at")?,
        attempts: row.get("attempts")?,
        failing_position: row.get_optional("failing_position")?,
        is_attempt_open: row.get("is_attempt_open")?,
        is_paused: settings.get("is_paused")?,
        has_dead_letters: settings.get("has_dead_letters")?,
    })
}

/// Refuses a partition of another number than the projection has, by a row that says which.
pub(super) fn check_total(
    row: &Row,
    projection: &ProjectionName,
    partition: Partition,
) -> Result<(), CheckpointError> {
    CheckpointError::check_partition_total(projection, partition_total(row)?, partition)
}

pub(super) fn partition_checkpoint(row: &Row) -> Result<PartitionCheckpoint, StoreError> {
    Ok(PartitionCheckpoint { partition: partition(row)?, position: row.get("position")? })
}

fn partition(row: &Row) -> Result<Partition, StoreError> {
    let partition = Partition::new(row.get("partition_index")?, partition_total(row)?);
    partition.map_err(|error| StoreError::corrupt(error.to_string()))
}

fn partition_total(row: &Row) -> Result<PartitionCount, StoreError> {
    partition_count(row.get("partition_total")?)
}

fn partition_count(count: u16) -> Result<PartitionCount, StoreError> {
    PartitionCount::new(count).map_err(|error| StoreError::corrupt(error.to_string()))
}

pub(super) fn projection(row: &Row) -> Result<ProjectionState, StoreError> {
    let rescale_to: Option<u16> = row.get_optional("rescale_to")?;
    Ok(ProjectionState {
        name: row.get("name")?,
        partition_total: partition_total(row)?,
        is_paused: row.get("is_paused")?,
        rescale_to: rescale_to.map(partition_count).transpose()?,
    })
}

pub(super) fn partition_state(row: &Row) -> Result<PartitionState, StoreError> {
    let left: Option<i64> = row.get_optional("lease_left")?;
    let left = left.and_then(|micros| u64::try_from(micros).ok());
    let last_error: Option<String> = row.get_optional("last_error")?;
    Ok(PartitionState {
        partition: partition(row)?,
        position: row.get("position")?,
        epoch: row.get("epoch")?,
        replay_until: row.get("replay_until")?,
        stop_at: row.get_optional("stop_at")?,
        owner: row.get_optional("owner")?,
        lease_left: left.filter(|micros| *micros > 0).map(Duration::from_micros),
        attempts: row.get("attempts")?,
        failing_position: row.get_optional("failing_position")?,
        last_error: last_error.filter(|error| !error.is_empty()),
    })
}

pub(super) fn dead_letter(row: &Row) -> Result<DeadLetter, StoreError> {
    Ok(DeadLetter {
        position: row.get("position")?,
        stream: stream(row)?,
        attempts: row.get("attempts")?,
        error: row.get_optional("error")?,
        parked_at: row.get("parked_at")?,
    })
}

pub(super) fn stream(row: &Row) -> Result<StreamId, StoreError> {
    let text = |column| row.get::<String>(column);
    let (context, kind) = (text("bounded_context")?, text("aggregate_type")?);
    let stream = StreamId::new(context, kind, text("aggregate_id")?);
    stream.map_err(|error| StoreError::corrupt(format!("a dead letter's stream: {error}")))
}

pub(super) fn dead_letter_count(row: &Row) -> Result<(u16, u64), StoreError> {
    Ok((row.get("partition_index")?, row.get("dead_letters")?))
}
