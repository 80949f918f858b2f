//! Clauses about what users' handlers and real servers do: one event, one handler, one outage must
//! not stop a worker, nor be blamed on another event.

use std::future::pending;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use es::conformance::{Conn, Harness};
use es::{DeadLetter, EventFilter, PersistedEvent, Position};
use es::{ProjectionName, StoreError, TransactionState};
use futures_util::future::join;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::fixture::{Recorder, Stage, append_numbers, batch, options};
use super::outage::Outage;
use crate::{
    EventContext, FailurePolicy, HandlerError, OperatorError, Permanent, Processor, Projection,
    ProjectionOptions, Retries, Retryable,
};

/// No clause waits longer for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// Longer than a busy machine stands still: the clauses count calls, and an event whose lease ran
/// out is called once more.
const LEASE: Duration = Duration::from_secs(12);

/// What the handler does instead of returning, with number 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Hangs,
    Undone,
    Unavailable,
    Permanent,
    Retryable,
    OwnIo,
}

/// What sockets and files of the handler's own can say.
const IO_ERRORS: [io::ErrorKind; 4] = [
    io::ErrorKind::ConnectionRefused,
    io::ErrorKind::TimedOut,
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::StorageFull,
];

/// A recorder whose handler meets its fate with number 3 (or all numbers from there), until it is
/// cured.
pub(super) struct Fated<H> {
    recorder: Recorder<H>,
    policy: FailurePolicy,
    fate: Fate,
    pub(super) goes_on_from_there: bool,
    is_cured: AtomicBool,
    calls: AtomicUsize,
}

impl<H: Harness> Fated<H> {
    pub(super) fn new(stage: &Stage<H>, policy: FailurePolicy, fate: Fate) -> Self {
        Fated {
            recorder: Recorder::new(Arc::clone(&stage.harness), "p"),
            policy,
            fate,
            goes_on_from_there: false,
            is_cured: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
        }
    }

    /// How often the handler was called with its event.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) fn cure(&self) {
        self.is_cured.store(true, Ordering::SeqCst);
    }
}

impl<H: Harness> Projection for Fated<H> {
    type Connection = Conn<H>;

    fn name(&self) -> &ProjectionName {
        self.recorder.name()
    }

    fn failure_policy(&self) -> FailurePolicy {
        self.policy
    }

    async fn handle(
        &self,
        conn: &mut Conn<H>,
        event: &PersistedEvent,
        _: &EventContext,
    ) -> Result<(), HandlerError> {
        self.recorder.record(conn, event).await?;
        let number: i64 = event.payload_json()?;
        let is_fated = number == 3 || (self.goes_on_from_there && number > 3);
        if !is_fated || self.is_cured.load(Ordering::SeqCst) {
            return Ok(());
        }
        let earlier_calls = self.calls.fetch_add(1, Ordering::SeqCst);
        let source = "it is number 3".into();
        match self.fate {
            Fate::Hangs => pending().await,
            Fate::Undone => {
                let transaction = TransactionState::MustRollBack;
                Err(StoreError::Retryable { transaction, source }.into())
            }
            Fate::Unavailable => Err(StoreError::Unavailable { source }.into()),
            Fate::Permanent => Err(Permanent::new("it is number 3").into()),
            Fate::Retryable => Err(Retryable::new("it is number 3").into()),
            Fate::OwnIo => Err(io::Error::from(IO_ERRORS[earlier_calls % IO_ERRORS.len()]).into()),
        }
    }
}

pub(super) fn name() -> ProjectionName {
    ProjectionName::new("p").expect("a valid name")
}

pub(super) fn retries(attempts_max: u32) -> Retries {
    Retries::new(NonZeroU32::new(attempts_max).expect("one at least"))
        .with_delay_min(Duration::from_millis(1))
        .with_delay_max(Duration::from_millis(4))
}

impl<H: Harness> Stage<H>
where
    H::Source: Clone,
{
    /// A worker with the projection that has a fate, in one partition, and another one.
    pub(super) fn two<P: Projection<Connection = Conn<H>>>(
        &self,
        projection: &Arc<P>,
        options: ProjectionOptions,
    ) -> Processor<H::Source> {
        Processor::new(Arc::clone(&self.source))
            .with_lease(LEASE)
            .with_poll_interval(Duration::from_millis(20))
            .with_stop_time_max(Duration::from_millis(500))
            .with_projection_options(Arc::clone(projection), options)
            .with_projection_options(self.recorder("other"), super::fixture::options())
    }

    pub(super) async fn letters_of(&self, of: &str) -> Vec<DeadLetter> {
        let name = ProjectionName::new(of).expect("a valid name");
        let letters = self.operator().dead_letters(&name, Position::START, 100).await;
        letters.expect("the dead letters are read")
    }

    pub(super) async fn wait_for_all(&self, of: &str) {
        let name = ProjectionName::new(of).expect("a valid name");
        let end = self.store.log().await.last().map(PersistedEvent::position);
        let end = end.expect("there are events");
        self.operator().wait_for(&name, end, PATIENCE).await.expect("it is handled");
    }

    /// Runs the worker while `play` plays, then stops it, and gives how long the stop took.
    pub(super) async fn run_while(
        &self,
        worker: &Processor<H::Source>,
        play: impl Future<Output = ()>,
    ) -> Duration {
        let stop = CancellationToken::new();
        let play = async {
            play.await;
            stop.cancel();
            Instant::now()
        };
        let (ended, stopped) = join(timeout(PATIENCE, worker.run(stop.clone())), play).await;
        ended.expect("it stops in time").expect("it never ends by itself");
        stopped.elapsed()
    }
}

/// Waits until `is_so`.
pub(super) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A handler that hangs is dropped after the time it has; the event is the policy's, all others are
/// handled, and so are those of the other projection.
pub async fn a_handler_that_hangs_is_dropped_and_its_event_is_the_policys<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 12).await;
    let fated = Arc::new(Fated::new(&stage, FailurePolicy::Park(retries(2)), Fate::Hangs));
    let worker = stage.two(&fated, options().with_time_max(Duration::from_millis(300)));
    stage
        .run_while(&worker, async {
            stage.wait_for_all("other").await;
            stage.wait_for_all("p").await;
        })
        .await;
    let letters = stage.letters_of("p").await;
    assert_eq!(letters[0].attempts, 2, "{letters:?}");
    let error = letters[0].error.as_deref().unwrap_or_default();
    assert!(error.contains("took longer than 300ms"), "{error}");
    stage.assert_handled_once("other", &EventFilter::default()).await;
}

/// A worker stops in its time although a handler hangs, and nothing of that batch is there.
///
/// The other projection handles its events before, for SQLite has one writer at a time.
pub async fn a_worker_stops_in_time_although_a_handler_hangs<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 5).await;
    let other = stage.processor(&stage.recorder("other"));
    other.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    let fated = Arc::new(Fated::new(&stage, FailurePolicy::Stop, Fate::Hangs));
    let worker = stage.two(&fated, options());
    let took = stage
        .run_while(&worker, async {
            until("the handler hangs", async || fated.calls() > 0).await;
        })
        .await;
    assert!(took < Duration::from_secs(15), "it took {took:?}");
    assert!(stage.handled("p").await.is_empty(), "the batch was rolled back");
    // The partition is free, and the rows that the hung transaction had locked are, too.
    fated.cure();
    let worker = stage.two(&fated, options());
    stage.run_while(&worker, async { stage.wait_for_all("p").await }).await;
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// An event at which every transaction is undone goes to the policy in the end; the worker lives.
pub async fn an_event_that_is_always_undone_is_the_policys_in_the_end<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 12).await;
    let fated = Arc::new(Fated::new(&stage, FailurePolicy::Park(retries(2)), Fate::Undone));
    let worker = stage.two(&fated, options().with_attempts_max(batch(4)));
    stage.run_while(&worker, async { stage.wait_for_all("p").await }).await;
    assert_eq!(fated.calls(), 1 + 4, "once in its batch, four times on its own");
    assert_eq!(stage.letters_of("p").await[0].attempts, 4);
    stage.assert_handled_once("other", &EventFilter::default()).await;
}

/// What the server causes is waited for, far beyond the attempts of the policy, and parks nothing.
pub async fn what_the_server_causes_is_never_the_events_fault<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 12).await;
    let mut fated = Fated::new(&stage, FailurePolicy::Park(retries(1)), Fate::Unavailable);
    fated.goes_on_from_there = true;
    let fated = Arc::new(fated);
    let worker = stage.two(&fated, options().with_attempts_max(batch(2)));
    let health = worker.health();
    stage
        .run_while(&worker, async {
            until("it is tried again", async || fated.calls() > 8).await;
            let troubles = health.troubles();
            assert!(troubles.iter().any(|one| one.reason.contains("number 3")), "{troubles:?}");
            let told = async || {
                let seen = stage.operator().status_of(&name()).await.expect("the status");
                let error = seen.partitions[0].state.last_error.as_deref();
                error.is_some_and(|error| error.contains("number 3"))
            };
            until("an operator sees it", told).await;
            fated.cure();
            stage.wait_for_all("p").await;
            until("all is well", async || health.is_well()).await;
        })
        .await;
    assert_eq!(stage.letters_of("p").await, []);
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// An attempt counts before it is made: an event in the middle of which one process after the
/// other dies is parked in the end, without being tried again.
pub async fn an_event_that_kills_its_process_is_parked_in_the_end<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 12).await;
    let fated = Arc::new(Fated::new(&stage, FailurePolicy::Park(retries(3)), Fate::Hangs));
    die_in_the_handler(&stage, &fated).await;
    let processor = stage.processor(&fated);
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    assert_eq!(fated.calls(), 4, "once in its batch, three times on its own");
    let letters = stage.letters_of("p").await;
    assert_eq!(letters[0].attempts, 3, "{letters:?}");
    let error = letters[0].error.as_deref().unwrap_or_default();
    assert!(error.contains("3 processes ended"), "{error}");
}

/// Once in a batch and three times with the event alone: a process of its own, as far as the
/// library can tell, dies in its handler.
async fn die_in_the_handler<H: Harness>(stage: &Stage<H>, fated: &Arc<Fated<H>>) {
    for death in 1..=4 {
        let processor = stage.processor(fated);
        let run = processor.run(CancellationToken::new());
        let dies = until("the handler is called", async || fated.calls() >= death);
        tokio::select! {
            ended = run => panic!("{ended:?}"),
            () = dies => {}
        }
    }
}

/// A stop that drops a handler in the middle of an event is not the event's fault, however many
/// there are.
pub async fn a_handler_that_a_stop_drops_does_not_count<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 12).await;
    let fated = Arc::new(Fated::new(&stage, FailurePolicy::Park(retries(3)), Fate::Hangs));
    for stops in 1..=6 {
        let stop = CancellationToken::new();
        let processor = stage.processor(&fated).with_stop_time_max(Duration::from_millis(20));
        let stopped = async {
            until("the handler is called", async || fated.calls() >= stops).await;
            stop.cancel();
        };
        let (ended, ()) = join(processor.run(stop.clone()), stopped).await;
        ended.expect("it stops");
    }
    fated.cure();
    let processor = stage.processor(&fated);
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    assert_eq!(stage.letters_of("p").await, []);
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// Where the policy is to stop, no process is killed by such an event after that, however often one
/// is started and takes the partition over, until an operator says that it is to be tried again.
pub async fn an_event_that_killed_its_processes_is_not_tried_before_an_operator_says_so<
    H: Harness,
>(
    harness: H,
) where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 12).await;
    let fated = Arc::new(Fated::new(&stage, FailurePolicy::Stop, Fate::Hangs));
    die_in_the_handler(&stage, &fated).await;
    for _ in 0..3 {
        let run = stage.processor(&fated);
        let run = timeout(PATIENCE, run.run_until_caught_up(CancellationToken::new())).await;
        let stopped = run.expect("it calls no handler").expect_err("it stands still");
        assert!(stopped.to_string().contains("cannot handle event"), "{stopped}");
        assert_eq!(fated.calls(), 4);
    }
    let shown = stage.operator().status_of(&name()).await.expect("the status");
    let partition = &shown.partitions[0].state;
    let error = partition.last_error.as_deref().unwrap_or_default();
    assert!(error.contains("3 processes ended"), "{error}");
    assert_eq!(partition.attempts, 3);

    fated.cure();
    stage.operator().resume(&name()).await.expect("it is resumed");
    let processor = stage.processor(&fated);
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// An error that the handler calls permanent leaves no attempt to make.
pub async fn a_permanent_error_is_not_tried_again<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    // Once in its batch, once on its own.
    assert_eq!(calls_until_parked(harness, Fate::Permanent).await, 2);
}

/// An error that the handler calls retryable does not count, until it has failed too often in a
/// row.
pub async fn a_retryable_error_of_the_handlers_does_not_count<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    assert_eq!(calls_until_parked(harness, Fate::Retryable).await, 1 + 6);
}

/// A service that refuses the handler's connection, or a full disk that it writes a file to, is not
/// the database's: the attempt counts, for the transaction can go on.
pub async fn an_io_error_of_the_handlers_own_counts<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    // Once in its batch, and as often as the policy says.
    assert_eq!(calls_until_parked(harness, Fate::OwnIo).await, 1 + 3);
}

async fn calls_until_parked<H: Harness>(harness: H, fate: Fate) -> usize
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 5).await;
    let fated = Arc::new(Fated::new(&stage, FailurePolicy::Park(retries(3)), fate));
    let worker = stage.two(&fated, options().with_attempts_max(batch(6)));
    stage.run_while(&worker, async { stage.wait_for_all("p").await }).await;
    assert_eq!(stage.letters_of("p").await.len(), 1);
    fated.calls()
}

/// A partition that stands still is let past its event: the event becomes a dead letter, later ones
/// of its stream queue after it, and all others are handled.
pub async fn a_partition_that_stands_still_is_let_past<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 12).await;
    let poison = stage.store.log().await[3].position();
    let fated = Arc::new(Fated::new(&stage, FailurePolicy::Stop, Fate::Permanent));
    let worker = stage.two(&fated, options());
    let health = worker.health();
    stage
        .run_while(&worker, async {
            until("it stands still", async || !health.is_well()).await;
            assert!(health.troubles()[0].stands_still);
            let none = stage.operator().skip_failing(&name(), 7).await;
            assert!(matches!(none, Err(OperatorError::UnknownPartition { .. })), "{none:?}");
            let other = ProjectionName::new("other").expect("a valid name");
            stage.wait_for_all("other").await;
            let well = stage.operator().skip_failing(&other, 0).await;
            assert!(matches!(well, Err(OperatorError::NothingFails { .. })), "{well:?}");
            let skipped = stage.operator().skip_failing(&name(), 0).await;
            assert_eq!(skipped.expect("it fails there"), poison);
            stage.wait_for_all("p").await;
            until("all is well", async || health.is_well()).await;
        })
        .await;
    let letters = stage.letters_of("p").await;
    assert_eq!((letters.len(), letters[0].position), (2, poison), "number 8 queues after it");
    assert_eq!(letters[0].error.as_deref().map(|error| error.contains("number 3")), Some(true));
    assert_eq!(stage.handled("p").await.len(), 10);
    stage.assert_handled_once("other", &EventFilter::default()).await;
}

/// A worker outlives a database that is away for longer than any number of attempts, comes back by
/// itself, and stops in time while the database is away.
pub async fn a_worker_outlives_an_outage<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 5).await;
    let source = Arc::new(Outage::new(stage.store.source.clone()));
    let recorder = stage.recorder("p");
    let options = ProjectionOptions::default().with_attempts_max(batch(2));
    let worker = Processor::new(Arc::clone(&source))
        .with_lease(Duration::from_millis(600))
        .with_poll_interval(Duration::from_millis(10))
        .with_stop_time_max(Duration::from_millis(300))
        .with_projection_options(recorder, options);
    let health = worker.health();
    source.switch(true);
    let stop = CancellationToken::new();
    let play = async {
        until("it looks again", async || source.asked() > 20).await;
        assert!(!health.is_well());
        source.switch(false);
        stage.wait_for_all("p").await;
        source.switch(true);
        let asked = source.asked();
        until("it looks again", async || source.asked() > asked + 20).await;
        append_numbers(&stage.store, 5).await;
        source.switch(false);
        stage.wait_for_all("p").await;
        until("all is well", async || health.is_well()).await;
        source.switch(true);
        stop.cancel();
        Instant::now()
    };
    let (ended, stopped) = join(timeout(PATIENCE, worker.run(stop.clone())), play).await;
    ended.expect("it stops in time").expect("it never ends by itself");
    assert!(stopped.elapsed() < Duration::from_secs(15), "{:?}", stopped.elapsed());
    stage.assert_handled_once("p", &EventFilter::default()).await;
}
