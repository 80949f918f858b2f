//! What operators do in a simulation, in the middle of everything else.

use std::sync::Arc;
use std::time::Duration;

use es::adapter::ProjectionStore;
use es::memory::{MemoryConnection, MemoryStore};
use es::{EventSource, Position, StoreError, StreamId};
use projection::operator::{self, DeadLetterError, ResetTo, RetriedLetters, SkipFailingError};
use tokio::time::sleep;

use super::chaos::{Chaos, Gate};
use super::frail::{Frail, HANDLER_TIME_MAX, Patient};
use super::ledger::Entry;

/// How often an operator tries to get a lock.
const TRIES_MAX: u32 = 100;

/// An operator of one projection.
#[derive(Debug, Clone)]
pub(super) struct Operator {
    pub(super) store: MemoryStore,
    pub(super) patient: Arc<Patient>,
}

impl Operator {
    /// Does something in a transaction, again and again while somebody else has a lock; `None` if
    /// somebody has it for too long.
    async fn transact<T, E>(
        &self,
        work: impl AsyncFn(&mut MemoryConnection) -> Result<T, E>,
    ) -> Option<T>
    where
        E: Into<DeadLetterError>,
    {
        for _ in 0..TRIES_MAX {
            let mut tx = self.store.begin().await.expect("a transaction");
            match work(&mut tx).await.map_err(Into::into) {
                Ok(done) => {
                    self.store.commit(tx).await.expect("it commits");
                    return Some(done);
                }
                Err(DeadLetterError::Store(error)) if error.is_retryable() => {
                    self.store.rollback(tx).await.expect("it rolls back");
                    sleep(Duration::from_millis(7)).await;
                }
                Err(error) => panic!("{}: {error:?}", self.patient.name),
            }
        }
        None
    }

    /// Whether the projection is paused now.
    pub(super) async fn pause(&self) -> bool {
        let (store, name) = (&self.store, &self.patient.name);
        self.transact(async |tx| operator::pause(store, tx, name).await).await == Some(true)
    }

    /// Lets go on what is paused or stands still. It does not stop before it has.
    pub(super) async fn resume(&self) {
        let (store, name) = (&self.store, &self.patient.name);
        while self.transact(async |tx| operator::resume(store, tx, name).await).await.is_none() {}
    }

    pub(super) async fn rescale(&self, total: u16) {
        // A lock that somebody holds is an operator's bad luck.
        let rescaled = operator::rescale(&self.store, &self.patient.name, total).await;
        assert!(rescaled.as_ref().err().is_none_or(StoreError::is_retryable), "{rescaled:?}");
    }

    /// Lets a partition past the event that it stands still at, or that it is about to try again.
    pub(super) async fn skip_failing(&self, partition: u16) {
        match operator::skip_failing(&self.store, &self.patient.name, partition).await {
            Ok(_)
            | Err(
                SkipFailingError::NothingFails { .. } | SkipFailingError::UnknownPartition { .. },
            ) => {}
            Err(SkipFailingError::Store(error)) if error.is_retryable() => {}
            Err(error) => panic!("{}: {error:?}", self.patient.name),
        }
    }

    /// Sets it back, or forward, to somewhere in the log.
    pub(super) async fn reset(&self, part: f64) {
        let (store, name) = (&self.store, &self.patient.name);
        let mut conn = store.connect();
        let horizon = es::EventStore::horizon(store, &mut conn, Position::START).await;
        let horizon = horizon.expect("the horizon").position.get();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "any will do"
        )]
        let to = Position::try_from((horizon as f64 * part) as i64).expect("a position");
        self.transact(async |tx| {
            if operator::reset(store, tx, name, ResetTo::Position(to)).await?.is_none() {
                return Ok::<(), StoreError>(());
            }
            Entry::ResetTo(to).write(tx, name)?;
            for letter in store.dead_letters(tx, name, Position::START, u32::MAX).await? {
                Entry::Kept(letter.position).write(tx, name)?;
            }
            Ok(())
        })
        .await;
    }

    /// Deletes it with all it has done.
    pub(super) async fn delete(&self) {
        let (store, name) = (&self.store, &self.patient.name);
        self.transact(async |tx| {
            if operator::delete(store, tx, name).await? {
                Entry::Deleted.write(tx, name)?;
            }
            Ok::<(), StoreError>(())
        })
        .await;
    }

    pub(super) async fn dead_letters(&self) -> Vec<es::DeadLetter> {
        let letters = operator::dead_letters(&self.store, &self.patient.name, Position::START, 100);
        letters.await.expect("the dead letters are read")
    }

    pub(super) async fn skip(&self, position: Position) {
        let (store, name) = (&self.store, &self.patient.name);
        self.transact(async |tx| {
            if operator::skip(store, tx, name, position).await? {
                Entry::Skipped(position).write(tx, name)?;
            }
            Ok::<(), DeadLetterError>(())
        })
        .await;
    }

    /// Tries the dead letters of a stream again, over connections that get lost.
    pub(super) async fn retry(&self, stream: &StreamId, gate: Arc<Gate>) {
        let source = Chaos { inner: self.store.clone(), gate: Arc::clone(&gate) };
        let frail = Frail { gate, patient: Arc::clone(&self.patient) };
        let retried = operator::retry_within(&source, &frail, stream, HANDLER_TIME_MAX).await;
        match retried {
            // It may be deleted.
            Ok(_)
            | Err(DeadLetterError::Undone { .. } | DeadLetterError::UnknownProjection { .. }) => {}
            Err(DeadLetterError::Store(error)) if error.is_retryable() => {}
            Err(error) => panic!("{}: {error:?}", self.patient.name),
        }
    }

    /// Tries all of them again, when nothing fails any more.
    pub(super) async fn retry_all(&self, gate: &Arc<Gate>) {
        let frail = Frail { gate: Arc::clone(gate), patient: Arc::clone(&self.patient) };
        while let Some(letter) = self.dead_letters().await.first() {
            match operator::retry(&self.store, &frail, &letter.stream).await {
                Ok(RetriedLetters::Handled(_)) => {}
                Err(DeadLetterError::Store(error)) if error.is_retryable() => {
                    sleep(Duration::from_millis(11)).await;
                }
                other => panic!("{}: it is cured: {other:?}", self.patient.name),
            }
        }
    }
}
