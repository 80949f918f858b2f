//! What is counted and measured: that it is, and that what is gone is not measured for ever.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use es::conformance::{Fixture, MemoryHarness};
use es::memory::{MemoryConnection, MemoryStore};
use es::{
    Event, EventSource, EventStore, ExpectedVersion, PartitionCount, PersistedEvent,
    ProjectionName, StreamId,
};
use futures_util::future::join;
use metrics::set_default_local_recorder;
use projection::conformance::append_numbers;
use projection::metrics::{
    BATCH_EVENTS, BATCH_SECONDS, DEAD_LETTERS, EVENTS_HANDLED, FAILURES, HORIZON_HELD_POSITIONS,
    HORIZON_HELD_SECONDS, LAG_POSITIONS, PARTITIONS_STANDING_STILL, RETRIES,
};
use projection::operator::Rescaled;
use projection::{
    EventContext, FailurePolicy, HandlerError, Operator, Processor, Projection, ProjectionOptions,
    Retries, Retryable,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::measured::Measured;

/// As long as a worker needs to poll, and to save what it has passed.
const A_WHILE: Duration = Duration::from_secs(5);

const P: &str = "projection=p";

static NAME: ProjectionName = ProjectionName::from_static("p");

/// What the handler says to number 3.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Handled,
    Poison,
    /// That it is to be tried again, this often.
    Retryable(u32),
}

struct Numbers {
    policy: FailurePolicy,
    third: Answer,
    calls: AtomicU32,
}

impl Projection for Numbers {
    type Connection = MemoryConnection;

    fn name(&self) -> &ProjectionName {
        &NAME
    }

    fn failure_policy(&self) -> FailurePolicy {
        self.policy
    }

    async fn handle(
        &self,
        _conn: &mut MemoryConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        // A moment of the test's time, so that it can be measured.
        sleep(Duration::from_millis(10)).await;
        if event.payload_json::<i64>()? != 3 {
            return Ok(());
        }
        let calls = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.third {
            Answer::Poison => Err("it is poison".into()),
            Answer::Retryable(times) if calls < times => Err(Retryable::new(Busy).into()),
            Answer::Handled | Answer::Retryable(_) => Ok(()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("busy")]
struct Busy;

/// A store in the test's time, and what is measured in the meantime.
struct Stage {
    store: Fixture<MemoryHarness>,
    measured: Measured,
}

impl Stage {
    fn new() -> Self {
        let start = Instant::now();
        let source = MemoryStore::with_clock(move || start.elapsed());
        Stage { store: Fixture { harness: MemoryHarness, source }, measured: Measured::default() }
    }

    fn source(&self) -> &MemoryStore {
        &self.store.source
    }

    /// Lets a worker run while `play` goes on.
    async fn with_worker(&self, numbers: Numbers, partitions: u16, play: impl AsyncFnOnce()) {
        let _guard = set_default_local_recorder(&self.measured);
        let partitions = PartitionCount::of(partitions);
        let source = Arc::new(self.source().clone());
        let options = ProjectionOptions::default().with_partitions(partitions);
        let worker = Processor::new(source).with_projection_options(numbers, options);
        let (stop, health) = (CancellationToken::new(), worker.health());
        let play = async {
            play().await;
            assert!(health.is_well(), "{:?}", health.troubles());
            stop.cancel();
        };
        let (ended, ()) = join(worker.run(stop.clone()), play).await;
        ended.expect("it runs until it is stopped");
    }

    fn of_p(&self, name: &str) -> Option<f64> {
        self.measured.value(name, P)
    }

    fn operator(&self) -> Operator<'_, MemoryStore> {
        Operator::new(self.source())
    }

    /// The lags by partition, such as `0/8`.
    fn lags(&self) -> BTreeMap<String, f64> {
        let lags = self.measured.all(LAG_POSITIONS).into_iter();
        lags.map(|(labels, lag)| (labels[P.len() + ",partition=".len()..].replace('}', ""), lag))
            .collect()
    }

    /// Stops the projection, at the end of the log, and lets it lag by ten.
    async fn let_it_lag(&self) {
        append_numbers(&self.store, 10).await;
        sleep(A_WHILE).await;
        self.operator().pause(&NAME).await.expect("it is paused");
        sleep(A_WHILE).await;
        append_numbers(&self.store, 10).await;
        sleep(A_WHILE).await;
    }

    async fn delete(&self) {
        self.operator().delete(&NAME).await.expect("it is deleted");
        sleep(A_WHILE).await;
    }
}

fn numbers(policy: FailurePolicy, third: Answer) -> Numbers {
    Numbers { policy, third, calls: AtomicU32::new(0) }
}

fn well() -> Numbers {
    numbers(FailurePolicy::Stop, Answer::Handled)
}

fn each(total: u16, lag: f64) -> BTreeMap<String, f64> {
    (0..total).map(|index| (format!("{index}/{total}"), lag)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_partitions_that_a_rescale_took_away_is_0() {
    let stage = Stage::new();
    stage
        .with_worker(well(), 8, async || {
            stage.let_it_lag().await;
            assert_eq!(stage.lags(), each(8, 10.0));
            let rescaled = stage.operator().rescale(&NAME, PartitionCount::of(4)).await;
            assert_eq!(rescaled.expect("an answer"), Rescaled::Done);
            sleep(A_WHILE).await;
            let mut wanted = each(8, 0.0);
            wanted.extend(each(4, 10.0));
            assert_eq!(stage.lags(), wanted);

            stage.operator().resume(&NAME).await.expect("it is resumed");
            sleep(A_WHILE).await;
            wanted.extend(each(4, 0.0));
            assert_eq!(stage.lags(), wanted);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_a_deleted_projection_is_0() {
    let stage = Stage::new();
    stage
        .with_worker(well(), 2, async || {
            stage.let_it_lag().await;
            assert_eq!(stage.lags(), each(2, 10.0));
            stage.delete().await;
            assert_eq!(stage.lags(), each(2, 0.0));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_deleted_projection_stands_still() {
    let stage = Stage::new();
    stage
        .with_worker(numbers(FailurePolicy::Stop, Answer::Poison), 1, async || {
            append_numbers(&stage.store, 10).await;
            sleep(A_WHILE).await;
            assert_eq!(stage.of_p(PARTITIONS_STANDING_STILL), Some(1.0));
            assert_eq!(stage.of_p(FAILURES), Some(1.0));
            assert_eq!(stage.lags(), each(1, 7.0));
            stage.delete().await;
            assert_eq!(stage.of_p(PARTITIONS_STANDING_STILL), Some(0.0));
            assert_eq!(stage.lags(), each(1, 0.0));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_let_past_its_event_stands_still_no_longer() {
    let stage = Stage::new();
    stage
        .with_worker(numbers(FailurePolicy::Stop, Answer::Poison), 1, async || {
            append_numbers(&stage.store, 10).await;
            sleep(A_WHILE).await;
            assert_eq!(stage.of_p(PARTITIONS_STANDING_STILL), Some(1.0));
            stage.operator().skip_failing(&NAME, 0).await.expect("it is skipped");
            sleep(A_WHILE).await;
            assert_eq!(stage.of_p(PARTITIONS_STANDING_STILL), Some(0.0));
            assert_eq!(stage.lags(), each(1, 0.0));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn failures_and_dead_letters_are_counted() {
    let stage = Stage::new();
    let three = Retries::new(NonZeroU32::new(3).expect("it is not zero"));
    stage
        .with_worker(numbers(FailurePolicy::Park(three), Answer::Poison), 1, async || {
            append_numbers(&stage.store, 10).await;
            sleep(A_WHILE).await;
        })
        .await;
    assert_eq!(stage.of_p(FAILURES), Some(3.0));
    // Number 8, of the same stream, queues after number 3.
    assert_eq!(stage.of_p(DEAD_LETTERS), Some(1.0));
    assert_eq!(stage.of_p(EVENTS_HANDLED), Some(8.0));
    assert_eq!(stage.of_p(BATCH_EVENTS), Some(8.0));
    assert!(stage.of_p(BATCH_SECONDS) >= Some(0.08), "{:?}", stage.of_p(BATCH_SECONDS));
    assert_eq!(stage.of_p(RETRIES), None);
    assert_eq!(stage.of_p(PARTITIONS_STANDING_STILL), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_does_not_count_is_a_retry() {
    let stage = Stage::new();
    stage
        .with_worker(numbers(FailurePolicy::Stop, Answer::Retryable(3)), 1, async || {
            append_numbers(&stage.store, 10).await;
            sleep(A_WHILE).await;
        })
        .await;
    // The first one undid the batch, and made the events be tried one by one.
    assert_eq!(stage.of_p(RETRIES), Some(2.0));
    assert_eq!(stage.of_p(FAILURES), None);
    assert_eq!(stage.of_p(EVENTS_HANDLED), Some(10.0));
}

#[tokio::test(start_paused = true)]
async fn what_an_open_transaction_holds_back_is_measured_until_it_ends() {
    let stage = Stage::new();
    stage
        .with_worker(well(), 1, async || {
            append_numbers(&stage.store, 10).await;
            sleep(A_WHILE).await;
            let held = || {
                [HORIZON_HELD_POSITIONS, HORIZON_HELD_SECONDS]
                    .map(|name| stage.measured.value(name, ""))
            };
            assert_eq!(held(), [Some(0.0); 2]);
            let mut open = stage.store.begin().await;
            let stream = StreamId::new("Test", "Other", "1").expect("a valid name");
            let event = Event::json("Happened", &0).expect("a valid event");
            let any = ExpectedVersion::Any;
            let appended = stage.source().append(&mut open, &stream, any, &[event]).await;
            appended.expect("it is appended");
            append_numbers(&stage.store, 4).await;
            sleep(A_WHILE).await;
            let [positions, seconds] = held();
            assert_eq!(positions, Some(5.0));
            assert!(seconds >= Some(3.0) && seconds <= Some(5.0), "{seconds:?}");
            assert_eq!(stage.lags(), each(1, 5.0));
            stage.source().commit(open).await.expect("it commits");
            sleep(A_WHILE).await;
            assert_eq!(held(), [Some(0.0); 2]);
            assert_eq!(stage.lags(), each(1, 0.0));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn asking_for_a_status_measures_nothing() {
    let stage = Stage::new();
    stage.with_worker(well(), 2, async || stage.let_it_lag().await).await;
    let operators = Measured::default();
    let _guard = set_default_local_recorder(&operators);
    let status = stage.operator().status().await.expect("the status");
    assert_eq!(status[0].partitions[0].lag, 10);
    stage.operator().status_of(&NAME).await.expect("the status");
    assert!(operators.is_empty(), "{operators:?}");
}
