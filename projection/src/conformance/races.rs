//! Clauses about dead letters that are seen to while others change the projection or fail it.

use std::collections::BTreeSet;
use std::error::Error;
use std::future::{Future, pending};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use es::adapter::{PartitionSeed, ProjectionStore};
use es::conformance::{Conn, Harness};
use es::{
    EventFilter, EventSource, PartitionCount, PersistedEvent, Position, ProjectionName, StoreError,
    StreamId, TransactionState,
};
use futures_util::future::{BoxFuture, join};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::fixture::{Recorder, Stage, append_numbers};
use crate::operator::{Rescaled, RetriedLetters};
use crate::{
    EventContext, FailurePolicy, HandlerError, Operator, OperatorError, Projection, Retries,
};

/// What becomes of the event with number 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Poison,
    Deadlock,
    Hangs,
    Cured,
}

/// A recorder in trouble. What it cannot handle is parked at once.
struct Troubled<H> {
    recorder: Recorder<H>,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Error)]
#[error("a layer")]
struct Layer(#[source] HandlerError);

impl<H: Harness> Projection for Troubled<H> {
    type Connection = Conn<H>;

    fn name(&self) -> &ProjectionName {
        self.recorder.name()
    }

    fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy::Park(Retries::new(NonZeroU32::MIN))
    }

    async fn handle(
        &self,
        conn: &mut Conn<H>,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        self.recorder.record(conn, event).await?;
        if event.payload_json::<i64>()? != 3 {
            return Ok(());
        }
        let trouble = *self.trouble.lock().expect("no panic");
        match trouble {
            Trouble::Cured => Ok(()),
            Trouble::Poison => Err("it is poison".into()),
            Trouble::Deadlock => {
                let transaction = TransactionState::MustRollBack;
                let error = StoreError::Retryable { transaction, source: "a deadlock".into() };
                Err(Layer(Layer(error.into()).into()).into())
            }
            Trouble::Hangs => pending().await,
        }
    }
}

impl<H: Harness> Troubled<H> {
    fn set(&self, trouble: Trouble) {
        *self.trouble.lock().expect("no panic") = trouble;
    }
}

fn name() -> ProjectionName {
    ProjectionName::new("p").expect("a valid name")
}

/// The stream of number 3.
fn sick_stream() -> StreamId {
    StreamId::new("Test", "Thing", "stream-3").expect("a valid name")
}

impl<H: Harness> Stage<H>
where
    H::Source: Clone,
{
    /// Ten numbers, and the events of one stream parked.
    async fn with_dead_letters(harness: H) -> (Self, Arc<Troubled<H>>) {
        let stage = Stage::new(harness).await;
        append_numbers(&stage.store, 10).await;
        let recorder = Recorder::new(Arc::clone(&stage.harness), "p");
        let troubled = Arc::new(Troubled { recorder, trouble: Mutex::new(Trouble::Poison) });
        let processor = stage.processor(&troubled);
        processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
        assert_eq!(stage.attempts().await, [1, 0]);
        (stage, troubled)
    }

    /// How often each dead letter was tried.
    async fn attempts(&self) -> Vec<u32> {
        let letters = self.operator().dead_letters(&name(), Position::START, 100).await;
        let letters = letters.expect("the dead letters are read");
        letters.iter().map(|letter| letter.attempts).collect()
    }

    /// Splits the only partition in two, in a transaction that is still open.
    async fn split_in(&self, conn: &mut Conn<H>) {
        let store = self.source.store();
        let state = store.lock_projection(conn, &name()).await.expect("locked");
        let partitions = store.lock_partitions(conn, &name()).await.expect("locked");
        let [partition] = &partitions[..] else { panic!("{partitions:?}") };
        let seed = PartitionSeed {
            position: partition.position,
            epoch: partition.epoch.next(),
            replay_until: partition.replay_until,
            stop_at: None,
        };
        store.rewrite_partitions(conn, &name(), &[seed; 2]).await.expect("written");
        let mut state = state.expect("it is registered");
        state.partition_total = PartitionCount::of(2);
        store.save_projection(conn, &state).await.expect("saved");
    }
}

type Hook = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Lets somebody else come before every transaction.
struct Interposed<S> {
    inner: S,
    before_begin: Hook,
}

impl<S: EventSource> EventSource for Interposed<S> {
    type Connection = S::Connection;
    type Store = S::Store;
    type Pooled = S::Pooled;
    type Transaction = S::Transaction;

    fn store(&self) -> &S::Store {
        self.inner.store()
    }

    async fn acquire(&self) -> Result<S::Pooled, StoreError> {
        self.inner.acquire().await
    }

    fn release(&self, conn: S::Pooled) {
        self.inner.release(conn);
    }

    async fn begin_within(&self, time_max: Duration) -> Result<S::Transaction, StoreError> {
        (self.before_begin)().await;
        self.inner.begin_within(time_max).await
    }

    async fn check_open(&self, transaction: &mut S::Transaction) -> Result<(), StoreError> {
        self.inner.check_open(transaction).await
    }

    async fn probe(&self, transaction: &mut S::Transaction) -> Result<(), StoreError> {
        self.inner.probe(transaction).await
    }

    async fn commit(&self, transaction: S::Transaction) -> Result<(), StoreError> {
        self.inner.commit(transaction).await
    }

    async fn rollback(&self, transaction: S::Transaction) -> Result<(), StoreError> {
        self.inner.rollback(transaction).await
    }

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<es::Cause> {
        self.inner.cause(error)
    }
}

/// The projection gets another number of partitions before each transaction of a retry: before the
/// one that handles, and before the one that notes the failure.
pub async fn a_rescale_before_each_transaction_of_a_retry_is_noticed<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let (stage, troubled) = Stage::with_dead_letters(harness).await;
    let (source, rescales) = (stage.store.source.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&rescales);
    let before_begin: Hook = Box::new(move || {
        let (source, number) = (source.clone(), counted.fetch_add(1, Ordering::Relaxed));
        Box::pin(async move {
            let total = PartitionCount::of(2 << number);
            let came = Operator::new(&source).rescale(&name(), total).await.expect("rescaled");
            assert_eq!(came, Rescaled::Done);
        })
    });
    let interposed = Interposed { inner: stage.store.source.clone(), before_begin };
    let operator = Operator::new(&interposed);
    let again = operator.retry(&*troubled, &sick_stream()).await.expect("it is tried");
    assert!(matches!(again, RetriedLetters::Failed { handled: 0, .. }), "{again:?}");
    assert_eq!(stage.attempts().await, [2, 0]);
    troubled.set(Trouble::Cured);
    let operator = Operator::new(&interposed);
    let again = operator.retry(&*troubled, &sick_stream()).await.expect("it is tried");
    assert!(matches!(again, RetriedLetters::Handled(2)), "{again:?}");
    assert_eq!(rescales.load(Ordering::Relaxed), 3);
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// As an operator would, where the database asks for it.
async fn stubbornly<T, F>(mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, OperatorError>>,
{
    for _ in 0..10_000 {
        match attempt().await {
            Err(OperatorError::Store(error)) if error.is_retryable() => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            answer => return answer.expect("the projection is as good as before"),
        }
    }
    panic!("10,000 attempts failed");
}

/// A retry, and then a skip, begin while a rescale has its locks, and go on after it.
pub async fn who_waits_for_a_rescale_goes_on_after_it<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let (stage, troubled) = Stage::with_dead_letters(harness).await;
    let mut tx = stage.store.begin().await;
    stage.split_in(&mut tx).await;
    let rescale = async {
        // Long enough for the other one to wait for the lock; if it is not, nothing is proved.
        tokio::time::sleep(Duration::from_millis(100)).await;
        stage.store.commit(tx).await;
    };
    let stream = sick_stream();
    let retry = stubbornly(|| stage.operator().retry(&*troubled, &stream));
    let (again, ()) = join(retry, rescale).await;
    assert!(matches!(again, RetriedLetters::Failed { handled: 0, .. }), "{again:?}");
    assert_eq!(stage.attempts().await, [2, 0]);

    let of_it = stage.store.stream(&stream).await;
    let position = of_it.events()[0].position();
    assert_eq!(
        stage.operator().rescale(&name(), PartitionCount::ONE).await.expect("asked"),
        Rescaled::Done
    );
    let mut tx = stage.store.begin().await;
    stage.split_in(&mut tx).await;
    let rescale = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stage.store.commit(tx).await;
    };
    let skip = stubbornly(async || {
        let mut tx = stage.source.begin().await?;
        let skipped = stage.operator().skip_in(&mut tx, &name(), position).await;
        match &skipped {
            Ok(()) => stage.source.commit(tx).await?,
            Err(_) => stage.source.rollback(tx).await?,
        }
        skipped
    });
    let ((), ()) = join(skip, rescale).await;
    assert_eq!(stage.attempts().await, [0]);
}

/// The handler is dropped with its transaction, the event has failed, and nothing stays locked.
pub async fn a_handler_that_hangs_in_a_retry_has_failed<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let (stage, troubled) = Stage::with_dead_letters(harness).await;
    troubled.set(Trouble::Hangs);
    let (short, stream) = (Duration::from_millis(50), sick_stream());
    let again = stage.operator().retry_within(&*troubled, &stream, short).await;
    let again = again.expect("it is tried");
    let RetriedLetters::Failed { handled: 0, source, .. } = again else { panic!("{again:?}") };
    assert!(source.to_string().contains("took longer than 50ms"), "{source}");
    assert_eq!(stage.attempts().await, [2, 0], "it is noted");
    troubled.set(Trouble::Cured);
    let again = stage.operator().retry(&*troubled, &stream).await.expect("it is tried");
    assert!(matches!(again, RetriedLetters::Handled(2)), "{again:?}");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// However the handler's error wraps it: the dead letter is as before.
pub async fn what_the_database_undoes_in_a_retry_is_not_the_events_fault<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let (stage, troubled) = Stage::with_dead_letters(harness).await;
    troubled.set(Trouble::Deadlock);
    let undone = stage.operator().retry(&*troubled, &sick_stream()).await;
    assert!(matches!(undone, Err(OperatorError::Undone { .. })), "{undone:?}");
    assert_eq!(stage.attempts().await, [1, 0]);
    assert_eq!(stage.handled("p").await.len(), 8);
}

/// Who still holds a partition of a projection that was deleted does not take the new one for it.
pub async fn a_projection_that_is_registered_again_begins_in_another_epoch<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 10).await;
    let processor = stage.processor(&stage.recorder("p"));
    let mut epochs = BTreeSet::new();
    for times in 1..=3 {
        processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
        assert_eq!(stage.handled("p").await.len(), times * 10);
        let status = stage.operator().status_of(&name()).await.expect("the status");
        let partitions = status.partitions;
        epochs.extend(partitions.iter().map(|one| one.state.epoch));
        stage.operator().delete(&name()).await.expect("it is deleted");
    }
    assert_eq!(epochs.len(), 3, "{epochs:?}");
}
