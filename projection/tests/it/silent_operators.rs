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
use es::{
    EventSource, PartitionCount, PersistedEvent, Position, ProjectionName, StoreError, StreamId,
};
use futures_util::future::BoxFuture;
use projection::conformance::append_numbers;
use projection::operator::ResetTo;
use projection::{
    EventContext, FailurePolicy, HandlerError, Operator, OperatorError, Processor, Projection,
    Retries,
};
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

static PARKS: ProjectionName = ProjectionName::from_static("parks");
static STOPS: ProjectionName = ProjectionName::from_static("stops");

/// Cannot handle number 3.
struct Sick(ProjectionName);

impl Projection for Sick {
    type Connection = MemoryConnection;

    fn name(&self) -> &ProjectionName {
        &self.0
    }

    fn failure_policy(&self) -> FailurePolicy {
        let retries = Retries::new(NonZeroU32::MIN);
        if self.0 == PARKS { FailurePolicy::Park(retries) } else { FailurePolicy::Stop }
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
    for name in [&PARKS, &STOPS] {
        let processor = Processor::new(Arc::new(store.clone())).with_projection(Sick(name.clone()));
        let ran = processor.run_until_caught_up(CancellationToken::new()).await;
        assert_eq!(ran.is_ok(), *name == PARKS);
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

type Outcome<'s> = BoxFuture<'s, Result<(), OperatorError>>;
type Operation = for<'s> fn(Operator<'s, Watched>) -> Outcome<'s>;

/// Loses each call of the operation once, before it has had its effect and after.
fn ends_whatever_is_lost(what: &str, limit: Duration, operation: Operation) {
    let calls = in_virtual_time(async {
        let (source, calls) = watched(&store().await, None);
        operation(Operator::new(&source)).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
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
                    let ended =
                        timeout(OPERATION_TIME_MAX * 10, operation(Operator::new(&source))).await;
                    let ended = ended.unwrap_or_else(|_| panic!("{what}: it never ends"));
                    let took = began.elapsed();
                    assert!(took <= limit + MARGIN, "{what}: it took {took:?}");
                    // What is lost when all else is done is no reason to fail.
                    let is_told = matches!(
                        ended,
                        Err(OperatorError::Store(StoreError::ConnectionLost { .. })
                            // The handler has failed, and the transaction does not say whether it
                            // was its fault.
                            | OperatorError::Undone { .. })
                    );
                    let may_be_lost =
                        what.starts_with("retry") && LOST_IN_RETRY.contains(&(call, before));
                    assert!(is_told || ended.is_ok() && may_be_lost, "{what}");
                    // Nothing is left locked.
                    let (next, _) = watched(&store, None);
                    let operator = Operator::new(&next);
                    let next = timeout(ANSWER_TIME_MAX, operator.resume(&STOPS)).await;
                    next.expect("no lock is left").expect("it answers");
                    let next =
                        timeout(ANSWER_TIME_MAX, operator.rescale(&PARKS, PartitionCount::of(3)))
                            .await;
                    let next = next.expect("no lock is left");
                    let is_deleted = matches!(next, Err(OperatorError::UnknownProjection { .. }));
                    let deletes = what.starts_with("delete");
                    assert!(next.is_ok() || is_deleted && deletes, "{what}: {next:?}");
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
    read("status", |operator| Box::pin(async move { operator.status().await.map(drop) }));
    read("status_of", |operator| {
        Box::pin(async move { operator.status_of(&PARKS).await.map(drop) })
    });
    read("lag", |operator| Box::pin(async move { operator.lag(&PARKS).await.map(drop) }));
    read("dead_letters", |operator| {
        Box::pin(async move {
            operator.dead_letters(&PARKS, Position::START, 9).await?;
            operator.dead_letters(&PARKS, Position::MAX, 9).await.map(drop)
        })
    });
}

const START: ResetTo = ResetTo::Position(Position::START);
const TO_A_TIME: ResetTo = ResetTo::Time(DateTime::<Utc>::UNIX_EPOCH);

#[test]
fn what_begins_its_own_transaction_has_an_end() {
    let act = |what, operation| ends_whatever_is_lost(what, ANSWER_TIME_MAX, operation);
    act("pause", |operator| Box::pin(async move { operator.pause(&PARKS).await }));
    act("resume", |operator| Box::pin(async move { operator.resume(&PARKS).await }));
    act("delete", |operator| Box::pin(async move { operator.delete(&PARKS).await }));
    act("rescale", |operator| {
        Box::pin(async move { operator.rescale(&PARKS, PartitionCount::of(2)).await.map(drop) })
    });
    act("skip", |operator| {
        Box::pin(async move { operator.skip(&PARKS, Position::from(4_u32)).await })
    });
    act("skip_failing", |operator| {
        Box::pin(async move { operator.skip_failing(&STOPS, 0).await.map(drop) })
    });
    act("reset", |operator| Box::pin(async move { operator.reset(&PARKS, START).await.map(drop) }));
    act("retry", |operator| {
        Box::pin(async move {
            let stream = StreamId::new("Test", "Thing", "stream-3").expect("a valid name");
            operator.retry(&Sick(PARKS.clone()), &stream).await.map(drop)
        })
    });
    ends_whatever_is_lost("reset to a time", OPERATION_TIME_MAX, |operator| {
        Box::pin(async move { operator.reset(&PARKS, TO_A_TIME).await.map(drop) })
    });
}

/// The transaction is the caller's; so are its begin and its end.
macro_rules! in_transaction {
    ($what:literal, |$operator:ident, $tx:ident| $operation:expr) => {
        ends_whatever_is_lost($what, OPERATION_TIME_MAX, |$operator| {
            Box::pin(async move {
                let lost = |_| StoreError::ConnectionLost { source: "the caller's".into() };
                let source = $operator.source();
                let began = timeout(ANSWER_TIME_MAX, source.begin()).await;
                let mut begun = began.map_err(lost)??;
                let $tx = &mut *begun;
                $operation?;
                Ok(timeout(MARGIN, source.commit(begun)).await.map_err(lost)??)
            })
        });
    };
}

#[test]
fn what_works_in_the_callers_transaction_has_an_end() {
    in_transaction!("pause_in", |operator, tx| operator.pause_in(tx, &PARKS).await);
    in_transaction!("resume_in", |operator, tx| operator.resume_in(tx, &PARKS).await);
    in_transaction!("delete_in", |operator, tx| operator.delete_in(tx, &PARKS).await);
    in_transaction!("rescale_in", |operator, tx| operator
        .rescale_in(tx, &PARKS, PartitionCount::of(2))
        .await);
    in_transaction!("skip_in", |operator, tx| {
        operator.skip_in(tx, &PARKS, Position::from(4_u32)).await
    });
    in_transaction!("skip_failing_in", |operator, tx| {
        operator.skip_failing_in(tx, &STOPS, 0).await
    });
    in_transaction!("reset_in", |operator, tx| operator.reset_in(tx, &PARKS, START).await);
    // It looks for the time on another connection, before the transaction has a lock.
    in_transaction!("reset_in to a time", |operator, tx| {
        operator.reset_in(tx, &PARKS, TO_A_TIME).await
    });
}
