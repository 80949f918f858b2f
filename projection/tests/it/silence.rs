//! A database that never answers: each call that a processor and a worker make is lost once, before
//! it has had its effect or after, and the connection stays silent for ever.
//!
//! Which calls there are is not written down here: a run in which nothing is lost shows them.

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use es::conformance::{Fixture, MemoryHarness};
use es::memory::{MemoryConnection, MemoryStore};
use es::{EventSource, Partition, PartitionCount, PersistedEvent, Position, ProjectionName};
use futures_util::future::join;
use projection::conformance::append_numbers;
use projection::operator::PartitionStatus;
use projection::{
    EventContext, FailurePolicy, HandlerError, Operator, OperatorError, Processor, Projection,
    ProjectionOptions, Retries,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::watched::{Hook, Moment, Watched};

/// How long the library waits for an answer.
const TIME_MAX: Duration = Duration::from_secs(2);
/// Longer than a stop may take, so that the limit of one is not the other's.
const LEASE: Duration = Duration::from_secs(12);
const STOP_TIME_MAX: Duration = Duration::from_secs(4);

/// What a worker may take beside its stop time, as its documentation says.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(6);

/// Nothing takes longer that comes to an end at all.
const PATIENCE: Duration = Duration::from_mins(5);

/// Each call of a name is lost in a run of its own, but no more than this many of them.
const TIMES_MAX: usize = 10;

static NAME: ProjectionName = ProjectionName::from_static("p");

/// Cannot handle number 3.
struct Sick;

impl Projection for Sick {
    type Connection = MemoryConnection;

    fn name(&self) -> &ProjectionName {
        &NAME
    }

    fn failure_policy(&self) -> FailurePolicy {
        let retries = Retries::new(NonZeroU32::new(2).expect("it is not zero"));
        FailurePolicy::Park(retries.with_delay_max(Duration::from_millis(20)))
    }

    async fn handle(
        &self,
        conn: &mut MemoryConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        conn.insert_row("p", event.position().get())?;
        if event.payload_json::<i64>()? == 3 { Err("poison".into()) } else { Ok(()) }
    }
}

/// The call that is lost.
#[derive(Clone, Copy)]
struct Loss {
    call: &'static str,
    /// How many of its name are answered before it.
    before: usize,
    moment: Moment,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} after {} others", self.moment, self.call, self.before)
    }
}

/// A log, and what was asked of it.
struct Stage {
    store: MemoryStore,
    calls: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    is_lost: watch::Sender<bool>,
}

impl Stage {
    async fn new() -> Self {
        let start = Instant::now();
        let store = MemoryStore::with_clock(move || start.elapsed());
        let calls = Arc::default();
        let stage = Stage { store, calls, is_lost: watch::Sender::new(false) };
        stage.append().await;
        stage
    }

    async fn append(&self) {
        let fixture = Fixture { harness: MemoryHarness, source: self.store.clone() };
        append_numbers(&fixture, 10).await;
    }

    /// The log, of which one call is lost.
    fn source(&self, loss: Option<Loss>) -> Arc<Watched> {
        let (calls, is_lost) = (Arc::clone(&self.calls), self.is_lost.clone());
        let hook: Hook = Box::new(move |moment, call| {
            let mut calls = calls.lock().expect("no panic while it is held");
            let count = calls.entry(call).or_default();
            let number = if moment == Moment::Before { *count } else { *count - 1 };
            *count = number + 1;
            let is_this = loss.is_some_and(|loss| {
                (loss.call, loss.before, loss.moment) == (call, number, moment)
            });
            if !is_this {
                return Box::pin(async {});
            }
            is_lost.send_replace(true);
            Box::pin(pending())
        });
        Arc::new(Watched::new(&self.store, hook))
    }

    fn calls(&self) -> BTreeMap<&'static str, usize> {
        self.calls.lock().expect("no panic while it is held").clone()
    }

    async fn lost(&self) {
        self.is_lost.subscribe().wait_for(|is_lost| *is_lost).await.expect("the sender is here");
    }

    /// Every event once, those of the parked stream among the dead letters.
    async fn is_all_handled(&self) -> bool {
        let fixture = Fixture { harness: MemoryHarness, source: self.store.clone() };
        let mut expected = [Vec::new(), Vec::new()];
        for event in fixture.log().await {
            let is_parked = event.aggregate_id() == "stream-3";
            expected[usize::from(is_parked)].push(event.position().get());
        }
        let mut conn = self.store.acquire().await.expect("a connection");
        let mut handled = conn.rows("p").expect("rows");
        handled.sort_unstable();
        let letters = Operator::new(&self.store).dead_letters(&NAME, Position::START, 100).await;
        let letters = match letters {
            // No worker has registered it yet.
            Err(OperatorError::UnknownProjection { .. }) => Vec::new(),
            letters => letters.expect("the dead letters are read"),
        };
        let letters = letters.iter().map(|letter| letter.position.get()).collect();
        let all = [handled, letters];
        for (all, expected) in all.iter().zip(&expected) {
            assert!(all.len() <= expected.len(), "none twice: {all:?}");
        }
        all == expected
    }

    async fn wait_until_all_is_handled(&self) {
        while !self.is_all_handled().await {
            sleep(Duration::from_millis(250)).await;
        }
    }

    /// What a run lives through, if it does: more events while it is idle, a while in which it
    /// renews its leases, another number of partitions.
    async fn play(&self) {
        self.wait_until_all_is_handled().await;
        sleep(LEASE / 2).await;
        self.append().await;
        self.wait_until_all_is_handled().await;
    }

    async fn rescale(&self) {
        let rescaled = async {
            while Operator::new(&self.store).rescale(&NAME, PartitionCount::of(3)).await.is_err() {
                sleep(Duration::from_millis(250)).await;
            }
            loop {
                let statuses = Operator::new(&self.store).status().await.expect("the status");
                if statuses.iter().all(|status| status.partitions.len() == 3) {
                    return;
                }
                sleep(Duration::from_millis(250)).await;
            }
        };
        rescaled.await;
        self.append().await;
        self.wait_until_all_is_handled().await;
    }

    /// Another worker comes, is given its share, and leaves.
    async fn share(&self) {
        let stop = CancellationToken::new();
        let other = Arc::new(Watched::new(&self.store, Box::new(|_, _| Box::pin(async {}))));
        let other = worker(&other);
        let shared = async {
            let is_its =
                |partition: &PartitionStatus| partition.state.owner.as_ref() == Some(other.id());
            loop {
                let statuses = Operator::new(&self.store).status().await.expect("the status");
                if statuses.iter().any(|status| status.partitions.iter().any(is_its)) {
                    break;
                }
                sleep(Duration::from_millis(250)).await;
            }
            stop.cancel();
        };
        let (ended, ()) = join(other.run(stop.clone()), shared).await;
        ended.expect("it goes on");
        self.append().await;
        self.wait_until_all_is_handled().await;
    }
}

fn options() -> ProjectionOptions {
    ProjectionOptions::default()
        .with_partitions(PartitionCount::of(2))
        .with_batch_size_max(NonZeroU32::new(4).expect("it is not zero"))
        .with_time_max(TIME_MAX)
}

fn processor(source: &Arc<Watched>) -> Processor<Watched> {
    Processor::new(Arc::clone(source))
        .with_projection_options(Sick, options())
        .with_assigned([Partition::ALL])
        .with_stop_time_max(STOP_TIME_MAX)
}

fn worker(source: &Arc<Watched>) -> Processor<Watched> {
    Processor::new(Arc::clone(source))
        .with_lease(LEASE)
        .with_poll_interval(Duration::from_secs(1))
        .with_stop_time_max(STOP_TIME_MAX)
        .with_projection_options(Sick, options())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Processor,
    Worker,
}

impl Who {
    async fn run(self, source: Arc<Watched>, stop: CancellationToken) {
        match self {
            Who::Processor => processor(&source).run(stop).await.expect("it goes on"),
            Who::Worker => worker(&source).run(stop).await.expect("it goes on"),
        }
    }

    async fn play(self, stage: &Stage) {
        stage.play().await;
        if self == Who::Worker {
            stage.rescale().await;
            stage.share().await;
        }
    }

    fn stops_within(self) -> Duration {
        match self {
            Who::Processor => STOP_TIME_MAX + Duration::from_secs(1),
            Who::Worker => STOP_TIME_MAX + LEAVE_TIME_MAX,
        }
    }

    /// Runs while `play` plays, which has an end, and stops in time after it.
    async fn run_while(self, source: Arc<Watched>, play: impl Future<Output = ()>, what: &str) {
        let stop = CancellationToken::new();
        let play = async {
            let played = timeout(PATIENCE, play).await;
            played.unwrap_or_else(|_| panic!("{self:?}, {what}: it goes on"));
            stop.cancel();
            Instant::now()
        };
        let run = async {
            self.run(source, stop.clone()).await;
            Instant::now()
        };
        let (ended, stopped) = join(timeout(PATIENCE * 2, run), play).await;
        let ended = ended.unwrap_or_else(|_| panic!("{self:?}, {what}: it stops"));
        let took = ended.duration_since(stopped);
        assert!(took <= self.stops_within(), "{self:?}, {what}: it took {took:?} to stop");
    }
}

/// Runs `test` in virtual time with each loss there can be.
fn with_each_loss(who: Who, test: impl AsyncFn(Stage, Loss)) -> usize {
    let calls = in_virtual_time(async {
        let stage = Stage::new().await;
        who.run_while(stage.source(None), who.play(&stage), "nothing is lost").await;
        stage.calls()
    });
    let mut runs = 0;
    for (call, count) in calls {
        for before in 0..count.min(TIMES_MAX) {
            for moment in [Moment::Before, Moment::After] {
                let loss = Loss { call, before, moment };
                in_virtual_time(async { test(Stage::new().await, loss).await });
                runs += 1;
            }
        }
    }
    runs
}

fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    // So that a run is what the one before it was, up to its loss.
    fastrand::seed(0);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true);
    runtime.build().expect("a runtime").block_on(test)
}

/// Whatever was lost is no hindrance to the next.
async fn assert_the_next_goes_on(who: Who, stage: &Stage, loss: Loss) {
    assert!(*stage.is_lost.borrow(), "{who:?}: never {loss}");
    stage.append().await;
    let handled = stage.wait_until_all_is_handled();
    who.run_while(stage.source(None), handled, &format!("{loss}, the next")).await;
}

/// A run goes on after a call that is never answered, and stops.
async fn goes_on(who: Who, stage: Stage, loss: Loss) {
    let source = stage.source(Some(loss));
    who.run_while(source, who.play(&stage), &loss.to_string()).await;
    assert_the_next_goes_on(who, &stage, loss).await;
}

/// A run that is told to stop while it waits for an answer stops in time.
async fn stops(who: Who, stage: Stage, loss: Loss) {
    let source = stage.source(Some(loss));
    let until_lost = async {
        tokio::select! {
            () = stage.lost() => {}
            // It is lost when the run stops.
            () = who.play(&stage) => {}
        }
    };
    who.run_while(source, until_lost, &loss.to_string()).await;
    assert_the_next_goes_on(who, &stage, loss).await;
}

#[test]
fn a_processor_goes_on_after_any_call_that_is_never_answered() {
    let runs = with_each_loss(Who::Processor, async |stage, loss| {
        goes_on(Who::Processor, stage, loss).await;
    });
    assert!(runs >= 100, "{runs}");
}

#[test]
fn a_processor_stops_in_time_whatever_is_never_answered() {
    with_each_loss(Who::Processor, async |stage, loss| {
        stops(Who::Processor, stage, loss).await;
    });
}

#[test]
fn a_worker_goes_on_after_any_call_that_is_never_answered() {
    let runs = with_each_loss(Who::Worker, async |stage, loss| {
        goes_on(Who::Worker, stage, loss).await;
    });
    assert!(runs >= 100, "{runs}");
}

#[test]
fn a_worker_stops_in_time_whatever_is_never_answered() {
    with_each_loss(Who::Worker, async |stage, loss| stops(Who::Worker, stage, loss).await);
}
