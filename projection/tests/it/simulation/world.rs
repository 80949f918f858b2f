//! Who acts in a simulation, and what is checked.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use es::memory::MemoryStore;
use es::{
    Event, EventSource, EventStore, ExpectedVersion, Position, ProjectionName, ReadLimit, StreamId,
};
use projection::admin::{self, ProjectionStatus, RetriedLetters};
use projection::{Processor, Worker, WorkerError, wait_for};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::chaos::{Chaos, Frail, Gate};

const LEASE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(300);

/// What the steps of a claim take, and the time until somebody looks.
const SLACK: Duration = Duration::from_millis(400);

const WORKERS_MAX: usize = 5;

pub(super) struct World {
    seed: u64,
    random: fastrand::Rng,
    store: MemoryStore,
    /// By how much the database's clock has jumped.
    jumped: Arc<Mutex<Duration>>,
    is_cured: Arc<AtomicBool>,
    workers: Vec<Actor>,
    /// Those that were told to stop and have not stopped yet.
    leavers: Vec<Actor>,
    started: u64,
    disturbed_at: Instant,
    was_rescaling: bool,
}

/// A worker's process.
struct Actor {
    gate: Arc<Gate>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), WorkerError>>,
}

fn name() -> ProjectionName {
    ProjectionName::new("p").expect("a valid name")
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let jumped: Arc<Mutex<Duration>> = Arc::default();
        let (start, by) = (Instant::now(), Arc::clone(&jumped));
        World {
            seed,
            random: fastrand::Rng::with_seed(seed),
            store: MemoryStore::with_clock(move || start.elapsed() + *by.lock().expect("no panic")),
            jumped,
            is_cured: Arc::default(),
            workers: Vec::new(),
            leavers: Vec::new(),
            started: 0,
            disturbed_at: Instant::now(),
            was_rescaling: false,
        }
    }

    fn frail(&self, gate: &Arc<Gate>) -> Arc<Frail> {
        let (gate, is_cured) = (Arc::clone(gate), Arc::clone(&self.is_cured));
        Arc::new(Frail { gate, seed: self.seed, is_cured })
    }

    pub(super) fn start_worker(&mut self) {
        self.started += 1;
        let gate = Gate::new(self.seed.wrapping_add(self.started));
        let source = Arc::new(Chaos { inner: self.store.clone(), gate: Arc::clone(&gate) });
        let processor = Processor::new(Arc::clone(&source), self.frail(&gate))
            .with_batch_size_max(5.try_into().expect("it is not zero"))
            .with_poll_interval_max(Duration::from_millis(250));
        let partitions = NonZeroU16::new(self.random.u16(1..5)).expect("it is not zero");
        let worker = Worker::new(source)
            .with_id(es::WorkerId::new(format!("worker-{}", self.started)).expect("a valid name"))
            .with_lease(LEASE)
            .with_poll_interval(POLL)
            .with_processor(processor, partitions);
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        let task = tokio::spawn(async move { worker.run(shutdown).await });
        self.workers.push(Actor { gate, stop, task });
        self.disturbed();
    }

    pub(super) async fn play(&mut self) {
        let writer = tokio::spawn(write(self.store.clone(), self.random.fork()));
        for _ in 0..self.random.u32(4..16) {
            let pause = self.random.u64(50..4_000);
            self.watch(Duration::from_millis(pause)).await;
            self.act().await;
        }
        while !writer.is_finished() {
            self.watch(Duration::from_millis(100)).await;
        }
        writer.await.expect("the writer does not fail");
        self.settle().await;
    }

    async fn act(&mut self) {
        match self.random.u32(0..18) {
            0..4 if self.workers.len() < WORKERS_MAX => self.start_worker(),
            4..6 if self.workers.len() > 1 => {
                let victim = self.workers.swap_remove(self.random.usize(..self.workers.len()));
                victim.task.abort();
            }
            6 if self.workers.len() > 1 => {
                let leaver = self.workers.swap_remove(self.random.usize(..self.workers.len()));
                leaver.stop.cancel();
                self.leavers.push(leaver);
            }
            7..10 => {
                let until = Duration::from_millis(self.random.u64(0..6_000));
                let victim = self.random.choice(&self.workers).expect("there is always one");
                victim.gate.stand_still(until);
            }
            10..12 => {
                let by = Duration::from_millis(self.random.u64(0..5_000));
                *self.jumped.lock().expect("no panic") += by;
            }
            12..15 => {
                // A lock that somebody holds is an operator's bad luck.
                let _ = admin::rescale(&self.store, &name(), self.random.u16(1..9)).await;
            }
            15 => self.pause_and_resume().await,
            _ => self.retry_one().await,
        }
        self.disturbed();
    }

    async fn pause_and_resume(&mut self) {
        for is_paused in [true, false] {
            loop {
                let mut tx = self.store.begin().await.expect("a transaction");
                let set = if is_paused {
                    admin::pause(&self.store, &mut tx, &name()).await
                } else {
                    admin::resume(&self.store, &mut tx, &name()).await
                };
                match set {
                    Ok(true) => {
                        self.store.commit(tx).await.expect("it commits");
                        break;
                    }
                    // Nobody has registered it yet.
                    Ok(false) => return,
                    // A lock.
                    Err(_) => self.store.rollback(tx).await.expect("it rolls back"),
                }
                sleep(Duration::from_millis(7)).await;
            }
            if is_paused {
                let rows = self.handled().len();
                sleep(Duration::from_millis(self.random.u64(0..2_000))).await;
                assert_eq!(self.handled().len(), rows, "seed {}: it is paused", self.seed);
            }
        }
    }

    async fn retry_one(&mut self) {
        let letters = admin::dead_letters(&self.store, &name(), Position::START, 100).await;
        let letters = letters.expect("the dead letters are read");
        let Some(letter) = self.random.choice(&letters) else { return };
        let frail = self.frail(&Gate::new(self.seed));
        // Somebody else may hold the lock.
        let _ = admin::retry(&self.store, &*frail, &letter.stream).await;
    }

    fn disturbed(&mut self) {
        self.disturbed_at = Instant::now();
    }

    /// Looks on while nobody disturbs: a lease and a poll after that, every partition is owned.
    async fn watch(&mut self, duration: Duration) {
        let until = Instant::now() + duration;
        while Instant::now() < until {
            sleep(Duration::from_millis(100)).await;
            for actor in &mut self.workers {
                let has_ended = actor.task.is_finished();
                assert!(!has_ended, "seed {}: {:?}", self.seed, (&mut actor.task).await);
            }
            for leaver in self.leavers.extract_if(.., |leaver| leaver.task.is_finished()) {
                ended(leaver.task.await);
            }
            let Some(status) = self.status().await else { continue };
            let is_rescaling = status.state.rescale_to.is_some();
            // One that leaves may stand still inside a transaction, too.
            let mut all = self.workers.iter().chain(&self.leavers);
            let stands_still = all.any(|actor| actor.gate.stands_still());
            if stands_still || is_rescaling != self.was_rescaling {
                self.was_rescaling = is_rescaling;
                self.disturbed();
            }
            if self.disturbed_at.elapsed() > LEASE + POLL + SLACK {
                self.assert_owned(&status);
            }
        }
    }

    fn assert_owned(&self, status: &ProjectionStatus) {
        let free: Vec<_> = status.partitions.iter().filter(|one| one.state.is_free()).collect();
        let seed = self.seed;
        assert!(free.is_empty(), "seed {seed}: nobody has {free:#?}\n{:?}", status.workers);
    }

    async fn status(&self) -> Option<ProjectionStatus> {
        admin::status_of(&self.store, &name()).await.expect("the status")
    }

    /// Nothing goes wrong any more: everything is handled, and was handled once.
    async fn settle(&mut self) {
        self.is_cured.store(true, Ordering::Relaxed);
        self.watch(2 * (LEASE + POLL)).await;
        let long = Duration::from_mins(10);
        let mut end = Position::START;
        for event in self.log().await {
            end = event.1;
        }
        wait_for(&self.store, &name(), end, long).await.unwrap_or_else(|error| {
            panic!("seed {}: {error}\n{:#?}", self.seed, self.store);
        });
        self.retry_all().await;
        for actor in self.workers.drain(..).chain(self.leavers.drain(..)) {
            actor.stop.cancel();
            ended(actor.task.await);
        }
        let status = self.status().await.expect("it is registered");
        assert!(status.partitions.iter().all(|one| one.state.is_free()), "seed {}", self.seed);
        self.assert_handled_once().await;
    }

    async fn retry_all(&self) {
        let frail = self.frail(&Gate::new(self.seed));
        loop {
            let letters = admin::dead_letters(&self.store, &name(), Position::START, 1).await;
            let letters = letters.expect("the dead letters are read");
            let Some(letter) = letters.first() else { return };
            match admin::retry(&self.store, &*frail, &letter.stream).await {
                Ok(RetriedLetters::Handled(_)) => {}
                Ok(failed) => panic!("seed {}: it is cured: {failed:?}", self.seed),
                // A lock.
                Err(_) => sleep(Duration::from_millis(11)).await,
            }
        }
    }

    fn handled(&self) -> Vec<i64> {
        self.store.connect().rows("p").expect("the rows")
    }

    async fn log(&self) -> Vec<(StreamId, Position)> {
        let (mut after, mut log) = (Position::START, Vec::new());
        loop {
            let (filter, limit) = (es::EventFilter::default(), ReadLimit::default());
            let mut conn = self.store.connect();
            let batch = self.store.read_events(&mut conn, after, &filter, limit).await;
            let batch = batch.expect("the log is read");
            if batch.is_nothing(after) {
                return log;
            }
            after = batch.complete_through;
            log.extend(batch.events.iter().map(|one| (one.stream().clone(), one.position())));
        }
    }

    async fn assert_handled_once(&self) {
        let (handled, log, seed) = (self.handled(), self.log().await, self.seed);
        let mut sorted = handled.clone();
        sorted.sort_unstable();
        let expected: Vec<i64> = log.iter().map(|(_, position)| position.get()).collect();
        assert_eq!(sorted, expected, "seed {seed}: every event once");
        let streams: BTreeMap<i64, &StreamId> =
            log.iter().map(|(stream, position)| (position.get(), stream)).collect();
        let mut last: BTreeMap<&StreamId, i64> = BTreeMap::new();
        for position in handled {
            let before = last.insert(streams[&position], position);
            assert!(before < Some(position), "seed {seed}: {position} after {before:?}");
        }
    }
}

fn ended(ended: Result<Result<(), WorkerError>, tokio::task::JoinError>) {
    ended.expect("it does not panic").expect("it does not fail");
}

/// Appends to a few streams, at times in transactions that stay open for a while or roll back.
async fn write(store: MemoryStore, mut random: fastrand::Rng) {
    for number in 0..random.u32(40..160) {
        sleep(Duration::from_millis(random.u64(0..160))).await;
        let stream = StreamId::new("Test", "Thing", format!("{}", random.u32(0..12)));
        let (stream, event) = (stream.expect("valid"), Event::json("Happened", &number));
        let mut conn = store.connect();
        conn.begin().expect("none is open");
        let events = [event.expect("valid")];
        let appended = store.append(&mut conn, &stream, ExpectedVersion::Any, &events).await;
        if random.u32(0..10) == 0 {
            let open_for = Duration::from_millis(random.u64(0..600));
            let commits = random.bool() && appended.is_ok();
            tokio::spawn(async move {
                sleep(open_for).await;
                if commits { conn.commit() } else { conn.rollback() }
            });
        } else if appended.is_ok() {
            conn.commit().expect("it commits");
        }
    }
    sleep(Duration::from_secs(1)).await;
}
