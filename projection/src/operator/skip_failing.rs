//! Letting a partition past the event that it stands still at.

use std::num::NonZeroU32;

use es::adapter::{ProjectionStore, read_below};
use es::{
    DeadLetter, EventFilter, EventSource, PartitionState, PersistedEvent, Position, ProjectionName,
    ReadLimit,
};
use tracing::warn;

use super::base::Operator;
use super::error::OperatorError;
use crate::epoch::in_next_epoch;
use crate::limits::{OPERATION_TIME_MAX, answered, answered_within};
use crate::transaction::ended;

impl<S: EventSource> Operator<'_, S> {
    /// Lets a partition past the event that it fails at: the event becomes a dead letter, with the
    /// error that was noted last, and the partition goes on after it. Later events of its stream
    /// queue after it; [`retry`](Operator::retry) handles them once the handler can, and
    /// [`skip`](Operator::skip) drops the letter. Other partitions are not held up.
    ///
    /// Gives the position of the event.
    ///
    /// # Errors
    ///
    /// [`OperatorError::UnknownProjection`], [`OperatorError::UnknownPartition`],
    /// [`OperatorError::NothingFails`], [`OperatorError::MissingEvent`], and whatever the database
    /// says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropped, it has skipped the event or changed nothing.
    pub async fn skip_failing(
        self,
        projection: &ProjectionName,
        partition: u16,
    ) -> Result<Position, OperatorError> {
        let event = self.failing_event(projection, partition).await?;
        let mut tx = answered(self.source.begin()).await?;
        let skipped = answered(self.park(&mut tx, projection, partition, &event)).await;
        ended(self.source, tx, skipped).await
    }

    /// As [`skip_failing`](Operator::skip_failing), in the caller's transaction. It reads the event
    /// on a second connection.
    ///
    /// # Errors
    ///
    /// As [`skip_failing`](Operator::skip_failing).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the transaction in doubt: roll it back.
    pub async fn skip_failing_in(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
        partition: u16,
    ) -> Result<Position, OperatorError> {
        let event = self.failing_event(projection, partition).await?;
        answered_within(OPERATION_TIME_MAX, self.park(conn, projection, partition, &event)).await
    }

    /// The log is read outside the transaction, as always.
    async fn failing_event(
        self,
        projection: &ProjectionName,
        partition: u16,
    ) -> Result<PersistedEvent, OperatorError> {
        let (store, mut conn) = (self.source.store(), answered(self.source.acquire()).await?);
        let partitions = answered(store.partitions(&mut conn, projection)).await?;
        let failing = failing_position(&partitions, projection, partition);
        let position = match failing {
            Ok(position) => position,
            Err(error) => {
                self.source.release(conn);
                return Err(error);
            }
        };
        let (filter, limit) = (EventFilter::default(), ReadLimit::new(NonZeroU32::MIN));
        let read = read_below(store, &mut conn, position.previous(), position, &filter, limit);
        let read = answered(read).await?;
        self.source.release(conn);
        let event = read.events.into_iter().next();
        let projection = projection.clone();
        event.ok_or(OperatorError::MissingEvent { projection, position })
    }

    async fn park(
        self,
        conn: &mut S::Connection,
        projection: &ProjectionName,
        partition: u16,
        event: &PersistedEvent,
    ) -> Result<Position, OperatorError> {
        let store = self.source.store();
        store.lock_projection(conn, projection).await?;
        let partitions = store.lock_partitions(conn, projection).await?;
        let position = failing_position(&partitions, projection, partition)?;
        if position != event.position() {
            // It has gone on meanwhile, and fails at another one now.
            let projection = projection.clone();
            return Err(OperatorError::NothingFails { projection, partition });
        }
        let failing = find(&partitions, projection, partition)?;
        let error = failing.last_error.clone();
        let error = error.unwrap_or_else(|| "skipped by an operator".to_owned());
        let letter = DeadLetter::failed(event, failing.attempts, error);
        store.put_dead_letters(conn, projection, &[letter]).await?;
        let mut seeds = in_next_epoch(&partitions, |seed| seed);
        for (state, seed) in partitions.iter().zip(&mut seeds) {
            if state.partition.index() == partition {
                seed.position = position;
            }
        }
        store.rewrite_partitions(conn, projection, &seeds).await?;
        warn!(
            %projection,
            partition,
            position = position.get(),
            event_type = event.event_type(),
            stream = %event.stream(),
            "skips the event that failed: it becomes a dead letter"
        );
        Ok(position)
    }
}

fn find<'p>(
    partitions: &'p [PartitionState],
    projection: &ProjectionName,
    partition: u16,
) -> Result<&'p PartitionState, OperatorError> {
    if partitions.is_empty() {
        return Err(OperatorError::unknown(projection));
    }
    let found = partitions.iter().find(|state| state.partition.index() == partition);
    let projection = projection.clone();
    found.ok_or(OperatorError::UnknownPartition { projection, partition })
}

fn failing_position(
    partitions: &[PartitionState],
    projection: &ProjectionName,
    partition: u16,
) -> Result<Position, OperatorError> {
    let state = find(partitions, projection, partition)?;
    let failing = state.failing_position.filter(|position| *position > state.position);
    let projection = projection.clone();
    // A batch that is under way is noted with its first event, no attempt that counts and no error;
    // an event that is tried while the server is waited for, with its error.
    let has_failed = state.attempts > 0 || state.last_error.as_ref().is_some_and(|e| !e.is_empty());
    let failing = failing.filter(|_| has_failed);
    failing.ok_or(OperatorError::NothingFails { projection, partition })
}
