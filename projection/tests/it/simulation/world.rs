//! Who acts in a simulation, and what is checked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use es::memory::MemoryStore;
use es::{Event, EventStore, ExpectedVersion, PartitionCount, Position, ReadLimit, StreamId};
use projection::operator::ProjectionStatus;
use projection::{Processor, ProcessorError, ProjectionOptions};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::chaos::{Chaos, Gate, Weather};
use super::frail::{Frail, HANDLER_TIME_MAX, Patient};
use super::ledger::{self, Entry, Log};
use super::operator::{Operator, known};

const LEASE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(300);

/// What the steps of a claim take, and the time until somebody looks.
const SLACK: Duration = Duration::from_millis(500);

const WORKERS_MAX: usize = 5;

pub(super) struct World {
    seed: u64,
    random: fastrand::Rng,
    store: MemoryStore,
    /// By how much the database's clock has jumped.
    jumped: Arc<Mutex<Duration>>,
    weather: Arc<Weather>,
    projections: Vec<Watched>,
    workers: Vec<Actor>,
    /// Those that were told to stop and have not stopped yet.
    leavers: Vec<Actor>,
    /// Operators who try dead letters again.
    retries: Vec<JoinHandle<()>>,
    /// How many processes there have been.
    started: u64,
    disturbed_at: Instant,
}

/// A projection, and whether it was being rescaled when it was last looked at.
struct Watched {
    operator: Operator,
    was_rescaling: bool,
}

/// A worker's process.
struct Actor {
    gate: Arc<Gate>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ProcessorError>>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let jumped: Arc<Mutex<Duration>> = Arc::default();
        let (start, by) = (Instant::now(), Arc::clone(&jumped));
        let store =
            MemoryStore::with_clock(move || start.elapsed() + *by.lock().expect("no panic"));
        let mut random = fastrand::Rng::with_seed(seed);
        let count = [1, 1, 1, 2, 2, 3][random.usize(..6)];
        let watched = |number| {
            let patient = Patient::new(number, seed, &mut random);
            Watched { operator: Operator { store: store.clone(), patient }, was_rescaling: false }
        };
        World {
            seed,
            projections: (0..count).map(watched).collect(),
            weather: Weather::new(random.bool()),
            random,
            store,
            jumped,
            workers: Vec::new(),
            leavers: Vec::new(),
            retries: Vec::new(),
            started: 0,
            disturbed_at: Instant::now(),
        }
    }

    fn new_gate(&mut self) -> Arc<Gate> {
        self.started += 1;
        Gate::new(self.seed.wrapping_add(self.started), &self.weather)
    }

    /// A worker that runs all projections.
    pub(super) fn start_worker(&mut self) {
        let gate = self.new_gate();
        let source = Arc::new(Chaos { inner: self.store.clone(), gate: Arc::clone(&gate) });
        let mut worker = Processor::new(Arc::clone(&source))
            .with_id(es::WorkerId::new(format!("worker-{}", self.started)).expect("a valid name"))
            .with_lease(LEASE)
            .with_poll_interval(POLL);
        for Watched { operator, .. } in &self.projections {
            let (gate, patient) = (Arc::clone(&gate), Arc::clone(&operator.patient));
            let partitions = PartitionCount::of(self.random.u16(1..5));
            let options = ProjectionOptions::default()
                .with_partitions(partitions)
                .with_time_max(HANDLER_TIME_MAX)
                .with_parked_in_a_row_max(4.try_into().expect("it is not zero"))
                .with_batch_size_max(5.try_into().expect("it is not zero"))
                .with_poll_interval_max(Duration::from_millis(250));
            worker = worker.with_projection_options(Frail { gate, patient }, options);
        }
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
            self.disturbed();
        }
        while !writer.is_finished() {
            self.watch(Duration::from_millis(100)).await;
        }
        writer.await.expect("the writer does not fail");
        self.settle().await;
    }

    async fn act(&mut self) {
        let operator = self.random.choice(&self.projections).expect("there is one");
        let operator = operator.operator.clone();
        operator.patient.changed();
        match self.random.u32(0..32) {
            0..4 if self.workers.len() < WORKERS_MAX => self.start_worker(),
            4..7 if self.workers.len() > 1 => {
                let victim = self.workers.swap_remove(self.random.usize(..self.workers.len()));
                victim.task.abort();
            }
            7..9 if self.workers.len() > 1 => {
                let leaver = self.workers.swap_remove(self.random.usize(..self.workers.len()));
                leaver.stop.cancel();
                self.leavers.push(leaver);
            }
            9..13 => {
                let until = Duration::from_millis(self.random.u64(0..6_000));
                let victim = self.random.choice(&self.workers).expect("there is always one");
                victim.gate.stand_still(until);
            }
            13..15 => {
                let by = Duration::from_millis(self.random.u64(0..5_000));
                *self.jumped.lock().expect("no panic") += by;
            }
            15..18 => operator.rescale(PartitionCount::of(self.random.u16(1..9))).await,
            18 => self.pause_and_resume(&operator).await,
            19 => operator.resume().await,
            20..22 => operator.reset((self.random.f64() * 1.2 - 0.2).max(0.0)).await,
            22 => {
                operator.delete().await;
                self.start_worker();
            }
            23..25 => {
                let letters = operator.dead_letters().await;
                if let Some(letter) = self.random.choice(&letters) {
                    operator.skip(letter.position).await;
                }
            }
            25 => operator.patient.turn(),
            26 => self.weather.set_stormy(self.random.bool()),
            27..29 => operator.skip_failing(self.random.u16(0..4)).await,
            _ => self.retry_one(operator).await,
        }
    }

    async fn pause_and_resume(&mut self, operator: &Operator) {
        // Who tries dead letters again handles events of a paused projection, too.
        self.end_retries().await;
        if operator.pause().await {
            let rows = self.entries(operator).len();
            sleep(Duration::from_millis(self.random.u64(0..2_000))).await;
            assert_eq!(self.entries(operator).len(), rows, "seed {}: it is paused", self.seed);
            operator.resume().await;
        }
    }

    async fn retry_one(&mut self, operator: Operator) {
        let letters = operator.dead_letters().await;
        if let Some(letter) = self.random.choice(letters) {
            let gate = self.new_gate();
            let retry = async move { operator.retry(&letter.stream, gate).await };
            self.retries.push(tokio::spawn(retry));
        }
    }

    async fn end_retries(&mut self) {
        for retry in self.retries.drain(..) {
            retry.await.expect("it does not panic");
        }
    }

    fn disturbed(&mut self) {
        self.disturbed_at = Instant::now();
    }

    /// Looks on while nobody disturbs: a lease and a poll after that, every partition is owned.
    async fn watch(&mut self, duration: Duration) {
        let until = Instant::now() + duration;
        while Instant::now() < until {
            sleep(Duration::from_millis(100)).await;
            self.watch_processes().await;
            for number in 0..self.projections.len() {
                let name = &self.projections[number].operator.patient.name;
                let status = projection::Operator::new(&self.store).status_of(name).await;
                let Some(status) = known(status).expect("the status") else {
                    self.disturbed();
                    continue;
                };
                let is_rescaling = status.state.rescale_to.is_some();
                if self.projections[number].was_rescaling != is_rescaling {
                    self.projections[number].was_rescaling = is_rescaling;
                    self.disturbed();
                }
                let since = self.disturbed_at.max(self.weather.last_loss());
                if since.elapsed() > LEASE + POLL + SLACK {
                    self.assert_owned(&status);
                }
            }
        }
    }

    async fn watch_processes(&mut self) {
        for number in (0..self.workers.len()).rev() {
            let actor = &mut self.workers[number];
            let has_ended = actor.task.is_finished();
            assert!(!has_ended, "seed {}: {:?}", self.seed, (&mut actor.task).await);
            if actor.gate.is_killed() {
                // Something starts it again.
                self.workers.swap_remove(number).task.abort();
                self.start_worker();
            }
        }
        for leaver in self.leavers.extract_if(.., |leaver| leaver.task.is_finished()) {
            ended(leaver.task.await);
        }
        let killed = self.leavers.extract_if(.., |leaver| leaver.gate.is_killed());
        killed.for_each(|leaver| leaver.task.abort());
        // One that leaves, or tries dead letters again, may have locks while it stands still.
        self.retries.retain(|retry| !retry.is_finished());
        let mut all = self.workers.iter().chain(&self.leavers);
        if all.any(|actor| actor.gate.stands_still()) || !self.retries.is_empty() {
            self.disturbed();
        }
    }

    fn assert_owned(&self, status: &ProjectionStatus) {
        let free: Vec<_> = status.partitions.iter().filter(|one| one.state.is_free()).collect();
        let seed = self.seed;
        assert!(free.is_empty(), "seed {seed}: nobody has {free:#?}\n{:?}", status.workers);
    }

    /// Nothing goes wrong any more: everything is handled, and was handled once.
    async fn settle(&mut self) {
        self.weather.set_stormy(false);
        self.projections.iter().for_each(|one| one.operator.patient.cure());
        self.start_worker();
        self.end_retries().await;
        for Watched { operator, .. } in &self.projections {
            operator.resume().await;
        }
        self.disturbed();
        self.watch(2 * (LEASE + POLL)).await;
        let log = self.log().await;
        let end = log.last().map_or(Position::START, |(_, position)| *position);
        let gate = self.new_gate();
        for Watched { operator, .. } in &self.projections {
            let name = &operator.patient.name;
            let (operates, patience) =
                (projection::Operator::new(&self.store), Duration::from_mins(10));
            let waited = operates.wait_for(name, end, patience).await;
            waited.unwrap_or_else(|error| {
                panic!("seed {}: {error}\n{:#?}", self.seed, self.store);
            });
            operator.retry_all(&gate).await;
        }
        for actor in self.workers.drain(..).chain(self.leavers.drain(..)) {
            actor.stop.cancel();
            ended(actor.task.await);
        }
        for Watched { operator, .. } in &self.projections {
            let name = &operator.patient.name;
            let status = projection::Operator::new(&self.store).status_of(name).await;
            let mut partitions = status.expect("it is registered").partitions.into_iter();
            assert!(partitions.all(|one| one.state.is_free()), "seed {}", self.seed);
            operator.patient.assert_deaths_end();
            ledger::check(&self.entries(operator), &log, &format!("seed {}, {name}", self.seed));
        }
    }

    fn entries(&self, operator: &Operator) -> Vec<Entry> {
        ledger::entries(&mut self.store.connect(), &operator.patient.name)
    }

    async fn log(&self) -> Log {
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
}

fn ended(ended: Result<Result<(), ProcessorError>, tokio::task::JoinError>) {
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
