//! An operator whose database never answers: each call that an operation makes is lost once, and
//! the operation ends all the same.

use std::collections::BTreeMap;
use std::future::pending;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use es::conformance::{Fixture, MemoryHarness};
use es::memory::{MemoryConnection, MemoryStore};
use es::{EventSource, Partition, PersistedEvent, Position, ProjectionName, StoreError, StreamId};
use futures_util::future::BoxFuture;
use projection::admin::{self, DeadLetterError, ResetTo, SkipFailingError};
use projection::conformance::append_numbers;
use projection::{EventContext, FailurePolicy, HandlerError, Processor, Projection, Retries};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::watched::{Hook, Moment, Watched};

/// How long one answer is waited for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(65);
/// How long an operation in the caller's transaction may take, and a search for a time.
const OPERATION_TIME_MAX: Duration = Duration::from_mins(10);
/// A failure that could not be noted, and a rollback that is not answered, come on top.
const MARGIN: Duration = Duration::from_secs(10);

/// What `retry` may lose, each after this number of others of its name, and still tell what the handler said: the
/// rollback of what has failed, and the transaction that notes the failure.
const LOST_IN_RETRY: [(&str, usize); 7] = [
    ("rollback", 0),
    ("begin", 1),
    ("partitions", 1),
    ("lock_checkpoint", 1),
    ("dead_letter_queue", 3),
    ("put_dead_letters", 0),
    ("commit", 0),
];

/// Cannot handle number 3.
struct Sick(&'static str);

impl Projection<MemoryConnection> for Sick {
    fn name(&self) -> ProjectionName {
        ProjectionName::new(self.0).expect("a valid name")
    }

    fn failure_policy(&self) -> FailurePolicy {
        let retries = Retries::new(NonZeroU32::MIN);
        if self.0 == "parks" { FailurePolicy::Park(retries) } else { FailurePolicy::Stop }
    }

    async fn handle(
        &self,
        _conn: &mut MemoryConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        if event.payload_json::<i64>()? == 3 { Err("poison".into()) } else { Ok(()) }
    }
}

/// One projection with a dead letter, and one that stands still.
async fn store() -> MemoryStore {
    let start = Instant::now();
    let store = MemoryStore::with_clock(move || start.elapsed());
    let fixture = Fixture { harness: MemoryHarness, source: store.clone() };
    append_numbers(&fixture, 10).await;
    for name in ["parks", "stops"] {
        let processor = Processor::new(Arc::new(store.clone()), Arc::new(Sick(name)));
        let processor = processor.with_partition(Partition::ALL);
        let ran = processor.run_until_caught_up(CancellationToken::new()).await;
        assert_eq!(ran.is_ok(), name == "parks");
    }
    store
}

type Calls = Arc<Mutex<BTreeMap<&'static str, usize>>>;

/// The store, which counts its calls, and loses the one of this name after so many others.
fn watched(store: &MemoryStore, lost: Option<(&'static str, usize, Moment)>) -> (Watched, Calls) {
    let calls = Calls::default();
    let counts = Arc::clone(&calls);
    let hook: Hook = Box::new(move |moment, call| {
        let mut counts = counts.lock().expect("no panic while it is held");
        let count = counts.entry(call).or_default();
        let number = if moment == Moment::Before { *count } else { *count - 1 };
        *count = number + 1;
        if lost == Some((call, number, moment)) { Box::pin(pending()) } else { Box::pin(async {}) }
    });
    (Watched::new(store, hook), calls)
}

type Outcome<'s> = BoxFuture<'s, Result<(), StoreError>>;
type Operation = for<'s> fn(&'s Watched) -> Outcome<'s>;

fn parks() -> ProjectionName {
    Sick("parks").name()
}

fn letter(error: DeadLetterError) -> StoreError {
    match error {
        DeadLetterError::Store(error) => error,
        // The handler has failed, and the transaction does not say whether it was its fault.
        DeadLetterError::Undone { source, .. } => StoreError::ConnectionLost { source },
        other => panic!("{other:?}"),
    }
}

/// Loses each call of the operation once, before it has had its effect and after.
fn ends_whatever_is_lost(what: &str, limit: Duration, operation: Operation) {
    let calls = in_virtual_time(async {
        let (source, calls) = watched(&store().await, None);
        operation(&source).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        std::mem::take(&mut *calls.lock().expect("no panic"))
    });
    assert!(!calls.is_empty(), "{what}");
    for (call, count) in calls {
        for before in 0..count {
            for moment in [Moment::Before, Moment::After] {
                in_virtual_time(async {
                    let store = store().await;
                    let (source, _) = watched(&store, Some((call, before, moment)));
                    let what = format!("{what}, {moment:?} {call} after {before} others");
                    let began = Instant::now();
                    let ended = timeout(OPERATION_TIME_MAX * 10, operation(&source)).await;
                    let ended = ended.unwrap_or_else(|_| panic!("{what}: it never ends"));
                    let took = began.elapsed();
                    assert!(took <= limit + MARGIN, "{what}: it took {took:?}");
                    // What is lost when all else is done is no reason to fail.
                    let is_told = matches!(ended, Err(StoreError::ConnectionLost { .. }));
                    let may_be_lost =
                        what.starts_with("retry") && LOST_IN_RETRY.contains(&(call, before));
                    assert!(is_told || ended.is_ok() && may_be_lost, "{what}");
                    // Nothing is left locked.
                    let (next, _) = watched(&store, None);
                    let next = timeout(ANSWER_TIME_MAX, admin::rescale(&next, &parks(), 3)).await;
                    next.expect("no lock is left").expect("it answers");
                });
            }
        }
    }
}

fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true);
    runtime.build().expect("a runtime").block_on(test)
}

#[test]
fn what_only_reads_has_an_end() {
    let read = |what, operation| ends_whatever_is_lost(what, ANSWER_TIME_MAX, operation);
    read("status", |source| Box::pin(async { admin::status(source).await.map(drop) }));
    read("status_of", |source| {
        Box::pin(async { admin::status_of(source, &parks()).await.map(drop) })
    });
    read("lag", |source| Box::pin(async { projection::lag(source, &parks()).await.map(drop) }));
    read("dead_letters", |source| {
        let letters = async { admin::dead_letters(source, &parks(), Position::START, 9).await };
        Box::pin(async { letters.await.map(drop) })
    });
}

#[test]
fn a_number_of_partitions_that_cannot_be_is_refused_before_the_database_is_asked() {
    in_virtual_time(async {
        let (source, calls) = watched(&store().await, None);
        for total in [0, es::SLOT_COUNT + 1] {
            let error = admin::rescale(&source, &parks(), total).await.expect_err("refused");
            assert!(matches!(error, StoreError::Misuse { .. }), "{error:?}");
            let says = error.to_string();
            assert!(says.contains(&format!("{total} partitions: choose 1 to ")), "{says}");
        }
        assert!(calls.lock().expect("no panic").is_empty(), "{calls:?}");
    });
}

#[test]
fn what_begins_its_own_transaction_has_an_end() {
    let act = |what, operation| ends_whatever_is_lost(what, ANSWER_TIME_MAX, operation);
    act("rescale", |source| {
        Box::pin(async { admin::rescale(source, &parks(), 2).await.map(drop) })
    });
    act("skip_failing", |source| {
        Box::pin(async {
            let skipped = admin::skip_failing(source, &Sick("stops").name(), 0).await;
            skipped.map(drop).map_err(|error| match error {
                SkipFailingError::Store(error) => error,
                other => panic!("{other:?}"),
            })
        })
    });
    act("retry", |source| {
        Box::pin(async {
            let stream = StreamId::new("Test", "Thing", "stream-3").expect("a valid name");
            let again = admin::retry(source, &Sick("parks"), &stream).await;
            again.map(drop).map_err(letter)
        })
    });
}

/// The transaction is the caller's; so are its begin and its end.
macro_rules! in_transaction {
    ($what:literal, |$source:ident, $tx:ident| $operation:expr) => {
        ends_whatever_is_lost($what, OPERATION_TIME_MAX, |$source| {
            Box::pin(async move {
                let lost = |_| StoreError::ConnectionLost { source: "the caller's".into() };
                let began = timeout(ANSWER_TIME_MAX, $source.begin()).await;
                let mut begun = began.map_err(lost)??;
                let $tx = &mut *begun;
                $operation?;
                timeout(MARGIN, $source.commit(begun)).await.map_err(lost)?
            })
        });
    };
}

#[test]
fn what_works_in_the_callers_transaction_has_an_end() {
    in_transaction!("pause", |source, tx| admin::pause(source, tx, &parks()).await);
    in_transaction!("resume", |source, tx| admin::resume(source, tx, &parks()).await);
    in_transaction!("delete", |source, tx| admin::delete(source, tx, &parks()).await);
    in_transaction!("skip", |source, tx| {
        let position = Position::from(4_u32);
        admin::skip(source, tx, &parks(), position).await.map_err(letter)
    });
    in_transaction!("reset", |source, tx| {
        admin::reset(source, tx, &parks(), ResetTo::Position(Position::START)).await
    });
    // It looks for the time on another connection, before the transaction has a lock.
    in_transaction!("reset to a time", |source, tx| {
        let to = ResetTo::Time(DateTime::<Utc>::UNIX_EPOCH);
        admin::reset(source, tx, &parks(), to).await
    });
}
