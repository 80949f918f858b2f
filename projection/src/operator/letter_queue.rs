//! The dead letters of one stream, and the lock under which they are handled.

use std::num::NonZeroU32;
use std::time::Duration;

use es::adapter::{
    Checkpoint, CheckpointStore, ProjectionStore, Slot, TRANSACTION_TIME_MAX, read_below,
};
use es::{
    CheckpointError, DeadLetter, EventFilter, EventSource, Partition, PartitionState,
    PersistedEvent, ProjectionName, ReadLimit, StoreError, StreamId, TransactionState,
};

use super::error::OperatorError;
use crate::limits::{NOTE_TIME_MAX, answered, answered_within};

/// How many dead letters one transaction handles again.
const RETRIED_MAX: u32 = 500;

/// How many bytes of payloads and metadata it handles: one event more than fit, at most.
const RETRIED_BYTES_MAX: usize = 8 << 20;

/// How often in a row somebody else may change what a retry goes by.
pub(super) const CHANGES_MAX: u32 = 20;

/// The dead letters of one stream, in the order in which they are handled.
pub(super) struct LetterQueue<'a, S> {
    pub(super) source: &'a S,
    pub(super) name: ProjectionName,
    pub(super) stream: &'a StreamId,
}

/// A transaction that has the checkpoint of the stream's partition locked.
pub(super) struct Locked<T> {
    pub(super) tx: T,
    pub(super) partition: Partition,
    pub(super) checkpoint: Checkpoint,
}

impl<S: EventSource> LetterQueue<'_, S> {
    /// Those that are there now, seen from outside any transaction.
    pub(super) async fn letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        let mut conn = answered(self.source.acquire()).await?;
        let letters = self.letters_in(&mut conn).await?;
        self.source.release(conn);
        Ok(letters)
    }

    pub(super) async fn letters_in(
        &self,
        conn: &mut S::Connection,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let store = self.source.store();
        answered(store.dead_letter_queue(conn, &self.name, self.stream, RETRIED_MAX)).await
    }

    /// The events of the first of these dead letters, as many as may be held in memory.
    pub(super) async fn events_of(
        &self,
        letters: &[DeadLetter],
    ) -> Result<Vec<PersistedEvent>, OperatorError> {
        let (store, mut conn) = (self.source.store(), answered(self.source.acquire()).await?);
        let (limit, all) = (ReadLimit::new(NonZeroU32::MIN), EventFilter::default());
        let (mut events, mut bytes) = (Vec::new(), 0);
        for letter in letters {
            let (after, position) = (letter.position.previous(), letter.position);
            let read = read_below(store, &mut conn, after, position, &all, limit);
            let read = answered(read).await?;
            let Some(event) = read.events.into_iter().next() else {
                self.source.release(conn);
                let projection = self.name.clone();
                return Err(OperatorError::MissingEvent { projection, position });
            };
            bytes += event.payload().len() + event.metadata().map_or(0, str::len);
            events.push(event);
            if bytes >= RETRIED_BYTES_MAX {
                break;
            }
        }
        self.source.release(conn);
        Ok(events)
    }

    /// Writes a dead letter that is there.
    pub(super) async fn replace(&self, letter: &DeadLetter) -> Result<(), OperatorError> {
        let (source, store) = (self.source, self.source.store());
        let Locked { mut tx, .. } = self.begin_locked(TRANSACTION_TIME_MAX).await?;
        let queue = self.letters_in(&mut tx).await?;
        if queue.iter().any(|queued| queued.position == letter.position) {
            let letter = std::slice::from_ref(letter);
            answered(store.put_dead_letters(&mut tx, &self.name, letter)).await?;
        }
        // If it is not there, somebody else has handled or skipped it: it must not come back.
        Ok(answered(source.commit(tx)).await?)
    }

    /// Begins a transaction, and locks the checkpoint of the stream's partition in it.
    ///
    /// The projection stays unlocked, so that a handler which takes its time makes no worker wait
    /// that starts or completes a rescale; the partition is looked up again if the projection was
    /// rescaled before its lock was there. After that it cannot be: a rescale locks all of them.
    pub(super) async fn begin_locked(
        &self,
        time_max: Duration,
    ) -> Result<Locked<S::Transaction>, OperatorError> {
        for _ in 0..CHANGES_MAX {
            let mut tx = answered(self.source.begin_within(time_max)).await?;
            // The database's own limit is the first.
            let locked =
                answered_within(time_max.saturating_add(NOTE_TIME_MAX), self.lock_in(&mut tx));
            if let Some((partition, checkpoint)) = locked.await? {
                return Ok(Locked { tx, partition, checkpoint });
            }
            answered(self.source.rollback(tx)).await?;
        }
        Err(changed("the number of partitions has").into())
    }

    /// Locks the checkpoint of the stream's partition; `None` if the projection was rescaled or
    /// deleted meanwhile.
    async fn lock_in(
        &self,
        tx: &mut S::Transaction,
    ) -> Result<Option<(Partition, Checkpoint)>, OperatorError> {
        let (store, slot) = (self.source.store(), self.stream.slot());
        let Some(partition) = partition_of(slot, &store.partitions(tx, &self.name).await?) else {
            return Err(OperatorError::unknown(&self.name));
        };
        match store.lock_checkpoint(tx, &self.name, partition).await {
            Ok(checkpoint) => Ok(Some((partition, checkpoint))),
            Err(CheckpointError::Store(error)) => Err(error.into()),
            Err(error) => {
                let now = partition_of(slot, &store.partitions(tx, &self.name).await?);
                if now == Some(partition) { Err(error.into()) } else { Ok(None) }
            }
        }
    }
}

/// The partition of a slot, whether its row is there or not; `None` if the projection is not.
fn partition_of(slot: Slot, partitions: &[PartitionState]) -> Option<Partition> {
    let total = partitions.first()?.partition.total();
    Partition::split(total).find(|partition| partition.contains(slot))
}

/// Somebody else has changed what a retry goes by, again and again.
pub(super) fn changed(what: &str) -> StoreError {
    let source = format!("{what} changed {CHANGES_MAX} times in a row").into();
    StoreError::Retryable { transaction: TransactionState::Usable, source }
}
