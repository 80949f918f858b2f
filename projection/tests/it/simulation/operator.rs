//! What operators do in a simulation, in the middle of everything else.

use std::sync::Arc;
use std::time::Duration;

use es::adapter::ProjectionStore;
use es::memory::{MemoryConnection, MemoryStore};
use es::{EventSource, PartitionCount, Position, StreamId};
use projection::OperatorError;
use projection::operator::{ResetTo, RetriedLetters};
use tokio::time::sleep;

use super::chaos::{Chaos, Gate};
use super::frail::{Frail, HANDLER_TIME_MAX, Patient};
use super::ledger::Entry;

/// How often an operator tries to get a lock.
const TRIES_MAX: u32 = 100;

/// What was done; nothing if the projection is not there, as it may be deleted.
pub(super) fn known<T>(done: Result<T, OperatorError>) -> Result<Option<T>, OperatorError> {
    match done {
        Err(OperatorError::UnknownProjection { .. }) => Ok(None),
        done => done.map(Some),
    }
}

/// An operator of one projection.
#[derive(Debug, Clone)]
pub(super) struct Operator {
    pub(super) store: MemoryStore,
    pub(super) patient: Arc<Patient>,
}

impl Operator {
    fn verbs(&self) -> projection::Operator<'_, MemoryStore> {
        projection::Operator::new(&self.store)
    }

    /// Does something in a transaction, again and again while somebody else has a lock; `None` if
    /// somebody has it for too long.
    async fn transact<T>(
        &self,
        work: impl AsyncFn(&mut MemoryConnection) -> Result<T, OperatorError>,
    ) -> Option<T> {
        for _ in 0..TRIES_MAX {
            let mut tx = self.store.begin().await.expect("a transaction");
            match work(&mut tx).await {
                Ok(done) => {
                    self.store.commit(tx).await.expect("it commits");
                    return Some(done);
                }
                Err(OperatorError::Store(error)) if error.is_retryable() => {
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
        let name = &self.patient.name;
        let paused = self.transact(async |tx| known(self.verbs().pause_in(tx, name).await)).await;
        paused.flatten().is_some()
    }

    /// Lets go on what is paused or stands still. It does not stop before it has.
    pub(super) async fn resume(&self) {
        let name = &self.patient.name;
        let resume =
            async |tx: &mut MemoryConnection| known(self.verbs().resume_in(tx, name).await);
        while self.transact(resume).await.is_none() {}
    }

    pub(super) async fn rescale(&self, total: PartitionCount) {
        // A lock that somebody holds is an operator's bad luck.
        match known(self.verbs().rescale(&self.patient.name, total).await) {
            Ok(_) => {}
            Err(error) => assert!(error.is_retryable(), "{error:?}"),
        }
    }

    /// Lets a partition past the event that it stands still at, or that it is about to try again.
    pub(super) async fn skip_failing(&self, partition: u16) {
        match known(self.verbs().skip_failing(&self.patient.name, partition).await) {
            Ok(_)
            | Err(OperatorError::NothingFails { .. } | OperatorError::UnknownPartition { .. }) => {}
            Err(error) if error.is_retryable() => {}
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
            let reset = self.verbs().reset_in(tx, name, ResetTo::Position(to)).await;
            if known(reset)?.is_none() {
                return Ok(());
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
        let name = &self.patient.name;
        self.transact(async |tx| {
            if known(self.verbs().delete_in(tx, name).await)?.is_some() {
                Entry::Deleted.write(tx, name)?;
            }
            Ok(())
        })
        .await;
    }

    pub(super) async fn dead_letters(&self) -> Vec<es::DeadLetter> {
        let letters = self.verbs().dead_letters(&self.patient.name, Position::START, 100).await;
        known(letters).expect("the dead letters are read").unwrap_or_default()
    }

    pub(super) async fn skip(&self, position: Position) {
        let name = &self.patient.name;
        self.transact(async |tx| match known(self.verbs().skip_in(tx, name, position).await) {
            Ok(Some(())) => Ok(Entry::Skipped(position).write(tx, name)?),
            Ok(None) | Err(OperatorError::NoDeadLetter { .. }) => Ok(()),
            Err(error) => Err(error),
        })
        .await;
    }

    /// Tries the dead letters of a stream again, over connections that get lost.
    pub(super) async fn retry(&self, stream: &StreamId, gate: Arc<Gate>) {
        let source = Chaos { inner: self.store.clone(), gate: Arc::clone(&gate) };
        let frail = Frail { gate, patient: Arc::clone(&self.patient) };
        let operator = projection::Operator::new(&source);
        match known(operator.retry_within(&frail, stream, HANDLER_TIME_MAX).await) {
            Ok(_) => {}
            Err(error) if error.is_retryable() => {}
            Err(error) => panic!("{}: {error:?}", self.patient.name),
        }
    }

    /// Tries all of them again, when nothing fails any more.
    pub(super) async fn retry_all(&self, gate: &Arc<Gate>) {
        let frail = Frail { gate: Arc::clone(gate), patient: Arc::clone(&self.patient) };
        while let Some(letter) = self.dead_letters().await.first() {
            match self.verbs().retry(&frail, &letter.stream).await {
                Ok(RetriedLetters::Handled(_)) => {}
                Err(OperatorError::Store(error)) if error.is_retryable() => {
                    sleep(Duration::from_millis(11)).await;
                }
                other => panic!("{}: it is cured: {other:?}", self.patient.name),
            }
        }
    }
}
