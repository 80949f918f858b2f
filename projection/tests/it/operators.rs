//! Operators who get into each other's and the workers' way, placed by hooks around transactions.

use std::collections::BTreeSet;
use std::error::Error;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use es::conformance::{Fixture, MemoryHarness};
use es::memory::{MemoryConnection, MemoryStore};
use es::{
    CheckpointError, Event, EventSource, Partition, PartitionCount, PersistedEvent, Position,
    ProjectionName, StoreError, StreamId,
};
use futures_util::future::{BoxFuture, join};
use projection::conformance::append_numbers;
use projection::operator::{ResetTo, RetriedLetters};
use projection::{
    EventContext, FailurePolicy, HandlerError, Operator, OperatorError, Processor, Projection,
    Retries,
};
use tokio_util::sync::CancellationToken;

static NAME: ProjectionName = ProjectionName::from_static("p");

async fn append(store: &MemoryStore, count: i64) {
    let fixture = Fixture { harness: MemoryHarness, source: store.clone() };
    append_numbers(&fixture, count).await;
}

/// Notes what it was given, taking its time, and parks number 3 while it is sick.
#[derive(Default)]
struct Noting {
    is_sick: AtomicBool,
    takes: Duration,
    seen: Mutex<Vec<(i64, bool)>>,
}

impl Projection for Noting {
    type Connection = MemoryConnection;

    fn name(&self) -> &ProjectionName {
        &NAME
    }

    fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy::Park(Retries::new(NonZeroU32::MIN))
    }

    async fn handle(
        &self,
        conn: &mut MemoryConnection,
        event: &PersistedEvent,
        context: &EventContext,
    ) -> Result<(), HandlerError> {
        if self.is_sick.load(Ordering::SeqCst) && event.payload_json::<i64>()? == 3 {
            return Err("poison".into());
        }
        tokio::time::sleep(self.takes).await;
        conn.insert_row("p", event.position().get())?;
        let mut seen = self.seen.lock().expect("no panic while it is held");
        seen.push((event.position().get(), context.replaying));
        Ok(())
    }
}

type Hook = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// A store whose transactions let somebody else come in between.
struct Hooked {
    inner: MemoryStore,
    after_rollback: Option<Hook>,
    /// Before the transaction of this number.
    before_begin: Option<(usize, Hook)>,
    begins: AtomicUsize,
    /// Whether a transaction that is asked says that it is lost.
    is_lost: bool,
}

impl Hooked {
    fn new(inner: &MemoryStore) -> Self {
        Hooked {
            inner: inner.clone(),
            after_rollback: None,
            before_begin: None,
            begins: AtomicUsize::new(0),
            is_lost: false,
        }
    }
}

impl EventSource for Hooked {
    type Connection = MemoryConnection;
    type Store = MemoryStore;
    type Pooled = Box<MemoryConnection>;
    type Transaction = Box<MemoryConnection>;

    fn store(&self) -> &MemoryStore {
        &self.inner
    }

    async fn acquire(&self) -> Result<Self::Pooled, StoreError> {
        EventSource::acquire(&self.inner).await
    }

    fn release(&self, conn: Self::Pooled) {
        self.inner.release(conn);
    }

    async fn begin_within(
        &self,
        time_max: std::time::Duration,
    ) -> Result<Self::Transaction, StoreError> {
        let number = self.begins.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some((at, hook)) = &self.before_begin
            && number == *at
        {
            hook().await;
        }
        EventSource::begin_within(&self.inner, time_max).await
    }

    async fn probe(&self, transaction: &mut Self::Transaction) -> Result<(), StoreError> {
        if self.is_lost {
            return Err(StoreError::ConnectionLost { source: "it is lost".into() });
        }
        self.inner.probe(transaction).await
    }

    async fn commit(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        EventSource::commit(&self.inner, transaction).await
    }

    async fn rollback(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        EventSource::rollback(&self.inner, transaction).await?;
        if let Some(hook) = &self.after_rollback {
            hook().await;
        }
        Ok(())
    }

    fn cause(&self, error: &(dyn Error + 'static)) -> Option<es::Cause> {
        EventSource::cause(&self.inner, error)
    }
}

async fn catch_up(store: &MemoryStore, projection: &Arc<Noting>, partition: Partition) {
    let processor = Processor::new(Arc::new(store.clone()))
        .with_projection(Arc::clone(projection))
        .with_assigned([partition]);
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
}

fn partition(index: u16, total: u16) -> Partition {
    Partition::new(index, PartitionCount::of(total)).expect("a partition")
}

/// One fails, and before it has noted that, another one handles the letter: it does not come back.
#[tokio::test]
async fn a_letter_that_was_handled_does_not_come_back() {
    let store = MemoryStore::default();
    append(&store, 10).await;
    let sick = Arc::new(Noting { is_sick: true.into(), ..Noting::default() });
    catch_up(&store, &sick, Partition::ALL).await;
    let stream = StreamId::new("Test", "Thing", "stream-3").expect("a valid name");
    let (inner, same) = (store.clone(), stream.clone());
    let after_rollback: Hook = Box::new(move || {
        let (inner, same) = (inner.clone(), same.clone());
        Box::pin(async move {
            let handled = Operator::new(&inner).retry(&Noting::default(), &same).await;
            assert!(matches!(handled.expect("tried"), RetriedLetters::Handled(_)));
        })
    });
    let hooked = Hooked { after_rollback: Some(after_rollback), ..Hooked::new(&store) };
    let failed = Operator::new(&hooked).retry(&*sick, &stream).await.expect("it is tried");
    assert!(matches!(failed, RetriedLetters::Failed { .. }), "{failed:?}");
    sick.is_sick.store(false, Ordering::SeqCst);
    let again = Operator::new(&store).retry(&*sick, &stream).await.expect("it is tried");
    assert!(matches!(again, RetriedLetters::Handled(0)), "{again:?}");
    let mut rows = store.connect().rows("p").expect("rows");
    rows.sort_unstable();
    assert_eq!(rows, (1..=10).collect::<Vec<i64>>());
}

/// An error that says nothing, from a transaction that cannot go on.
#[tokio::test]
async fn a_transaction_that_is_lost_in_a_retry_is_not_the_events_fault() {
    let store = MemoryStore::default();
    append(&store, 10).await;
    let sick = Arc::new(Noting { is_sick: true.into(), ..Noting::default() });
    catch_up(&store, &sick, Partition::ALL).await;
    let stream = StreamId::new("Test", "Thing", "stream-3").expect("a valid name");
    let hooked = Hooked { is_lost: true, ..Hooked::new(&store) };
    let undone = Operator::new(&hooked).retry(&*sick, &stream).await;
    assert!(matches!(undone, Err(OperatorError::Undone { .. })), "{undone:?}");
    let letters = Operator::new(&store).dead_letters(&NAME, Position::START, 1).await;
    assert_eq!(letters.expect("the dead letters are read")[0].attempts, 1);
}

/// Three events of 5 MiB: what one transaction handles, and holds in memory, has a limit in bytes.
#[tokio::test]
async fn a_retry_of_large_events_takes_several_transactions() {
    let store = MemoryStore::default();
    append(&store, 4).await;
    let fixture = Fixture { harness: MemoryHarness, source: store.clone() };
    let stream = StreamId::new("Test", "Thing", "stream-3").expect("a valid name");
    for _ in 0..3 {
        let large = Event::new("Happened", vec![b'1'; 5 << 20]).expect("valid");
        fixture.append(&stream, &[large]).await;
    }
    let sick = Arc::new(Noting { is_sick: true.into(), ..Noting::default() });
    catch_up(&store, &sick, Partition::ALL).await;
    let (hooked, cured) = (Hooked::new(&store), Noting::default());
    let again = Operator::new(&hooked).retry(&cured, &stream).await.expect("it is tried");
    assert!(matches!(again, RetriedLetters::Handled(4)), "{again:?}");
    assert_eq!(hooked.begins.load(Ordering::SeqCst), 2);
}

/// A transaction takes no further event when its time is over, and loses none it has handled.
#[tokio::test(start_paused = true)]
async fn a_retry_that_takes_long_takes_several_transactions() {
    let store = MemoryStore::default();
    append(&store, 25).await;
    let sick = Arc::new(Noting { is_sick: true.into(), ..Noting::default() });
    catch_up(&store, &sick, Partition::ALL).await;
    let stream = StreamId::new("Test", "Thing", "stream-3").expect("a valid name");
    let slow = Noting { takes: Duration::from_secs(40), ..Noting::default() };
    let hooked = Hooked::new(&store);
    let again = Operator::new(&hooked).retry(&slow, &stream).await.expect("it is tried");
    assert!(matches!(again, RetriedLetters::Handled(5)), "{again:?}");
    assert_eq!(hooked.begins.load(Ordering::SeqCst), 3, "60 seconds, so two events each");
    assert_eq!(store.connect().rows("p").expect("rows").len(), 25);
}

/// One partition was behind the other when the projection was reset: what it had not handled is
/// no replay, also if another number of partitions is asked for at once.
#[tokio::test]
async fn what_was_not_handled_before_a_reset_is_no_replay_after_it() {
    let store = MemoryStore::default();
    append(&store, 10).await;
    let projection = Arc::new(Noting::default());
    for index in 0..2 {
        catch_up(&store, &projection, partition(index, 2)).await;
    }
    append(&store, 10).await;
    catch_up(&store, &projection, partition(1, 2)).await;
    let take = || std::mem::take(&mut *projection.seen.lock().expect("no panic"));
    let before: BTreeSet<i64> = take().into_iter().map(|(position, _)| position).collect();

    let start = ResetTo::Position(Position::START);
    Operator::new(&store).reset(&NAME, start).await.expect("reset");
    Operator::new(&store).rescale(&NAME, PartitionCount::of(3)).await.expect("rescaled");
    for index in 0..2 {
        catch_up(&store, &projection, partition(index, 2)).await;
    }
    Operator::new(&store).rescale(&NAME, PartitionCount::of(3)).await.expect("rescaled");
    for index in 0..3 {
        catch_up(&store, &projection, partition(index, 3)).await;
    }
    let seen = take();
    assert_eq!(seen.len(), 20);
    for (position, is_replay) in seen {
        assert_eq!(is_replay, before.contains(&position), "position {position}");
    }
}

/// A worker is about to complete a rescale when an operator asks for another number.
#[tokio::test]
async fn a_late_worker_does_not_undo_what_an_operator_asked_for() {
    let store = MemoryStore::default();
    append(&store, 10).await;
    let projection = Arc::new(Noting::default());
    catch_up(&store, &projection, partition(0, 2)).await;
    Operator::new(&store).rescale(&NAME, PartitionCount::of(3)).await.expect("it begins");
    catch_up(&store, &projection, partition(1, 2)).await;
    let inner = store.clone();
    let operator: Hook = Box::new(move || {
        let inner = inner.clone();
        Box::pin(async move {
            Operator::new(&inner)
                .rescale(&NAME, PartitionCount::of(4))
                .await
                .expect("another number");
        })
    });
    // The first is the registration, the second the completion.
    let hooked = Hooked { before_begin: Some((2, operator)), ..Hooked::new(&store) };
    let stop = CancellationToken::new();
    let worker = Processor::new(Arc::new(hooked))
        .with_poll_interval(Duration::from_millis(20))
        .with_projection(projection);
    let watch = async {
        let total = async || {
            let status = Operator::new(&store).status_of(&NAME).await.expect("the status");
            let is_claimed = status.partitions.iter().all(|one| one.state.owner.is_some());
            (status.state.partition_total.get(), is_claimed)
        };
        while total().await != (4, true) {
            assert_ne!(total().await.0, 3, "the operator's number is undone");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    };
    let both = join(worker.run(stop.clone()), watch);
    let (ran, ()) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("it ends");
    ran.expect("it works");
}

/// Whatever is asked of a projection that is not there, the answer is the same.
#[tokio::test]
async fn an_unknown_projection_is_an_error_of_every_verb() {
    let store = MemoryStore::default();
    append(&store, 3).await;
    let (operator, start) = (Operator::new(&store), Position::START);
    let stream = StreamId::new("Test", "Thing", "stream-3").expect("a valid name");
    let (reset, short) = (ResetTo::Position(start), Duration::ZERO);
    let all = [
        operator.status_of(&NAME).await.map(drop),
        operator.lag(&NAME).await.map(drop),
        operator.wait_for(&NAME, start, short).await,
        operator.wait_for_stream(&NAME, &stream, start, short).await,
        operator.pause(&NAME).await,
        operator.resume(&NAME).await,
        operator.reset(&NAME, reset).await.map(drop),
        operator.rescale(&NAME, PartitionCount::of(2)).await.map(drop),
        operator.skip_failing(&NAME, 0).await.map(drop),
        operator.dead_letters(&NAME, start, 1).await.map(drop),
        operator.retry(&Noting::default(), &stream).await.map(drop),
        operator.skip(&NAME, start).await,
        operator.delete(&NAME).await,
    ];
    for (number, outcome) in all.into_iter().enumerate() {
        let is_unknown = matches!(outcome, Err(OperatorError::UnknownProjection { .. }));
        assert!(is_unknown, "{number}: {outcome:?}");
    }
    assert!(operator.status().await.expect("the status").is_empty());
}

/// However it came about: what the database says is found in the chain of its causes.
#[test]
fn whose_fault_an_operators_error_is_can_be_told() {
    let lost = || StoreError::ConnectionLost { source: "it is lost".into() };
    let store = MemoryStore::default();
    for error in [OperatorError::from(lost()), CheckpointError::from(lost()).into()] {
        assert!(matches!(error, OperatorError::Store(_)), "{error:?}");
        assert_eq!(EventSource::cause(&store, &error), Some(es::Cause::Transaction));
        assert!(error.is_retryable());
        assert_ne!(error.to_string(), lost().to_string(), "it does not repeat its source");
    }
}
