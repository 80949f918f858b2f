//! One run: writers and readers side by side, then the readers alone, then the accounts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use es::Position;
use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::aggregate::Aggregate;
use crate::backend::Backend;
use crate::bystander;
use crate::check::Truth;
use crate::isolation::Isolations;
use crate::projector_process::{Lives, ProjectorProcess};
use crate::reader::{Reader, Role};
use crate::sighting::{Sighting, Trail};
use crate::store::Store;
use crate::tally::Tally;
use crate::tasks::Tasks;
use crate::writer::{PreparedNames, Writer};

/// How many connections a store's readers and its bystander keep, and some for the rest.
pub(crate) const CONNECTIONS_BESIDE_WRITERS: u32 = 12;

/// How long writers may take to end their last transactions.
pub(crate) const LAST_TRANSACTIONS_MAX: Duration = Duration::from_mins(2);

/// How long readers may take to reach the horizon when nobody writes any more.
const LAST_READS_MAX: Duration = Duration::from_mins(2);

/// How long anything else may take to end.
pub(crate) const END_MAX: Duration = Duration::from_secs(30);

/// How a run is run.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) length: Duration,
    /// In all stores together.
    pub(crate) writers: u32,
    pub(crate) seed: u64,
    /// How long each of them rests between two transactions, on average.
    pub(crate) rest: Duration,
    /// Of the writers, where the database lets a run choose.
    pub(crate) isolations: Isolations,
}

impl Settings {
    /// What repeats the run.
    pub(crate) fn choices<B: Backend>(&self) -> String {
        let Settings { seed, isolations, .. } = self;
        if B::CHOOSES_ISOLATION {
            format!("seed={seed} isolation={isolations}")
        } else {
            format!("seed={seed}")
        }
    }
}

/// What happened in one store.
pub(crate) struct Observed {
    pub(crate) truth: Truth,
    pub(crate) readings: Vec<(Role, Trail)>,
    /// The rows the projection has written, in order.
    pub(crate) effects: Trail,
    /// How many events the projection has counted for each aggregate, and the last version.
    pub(crate) totals: Vec<(Aggregate, u64, i64)>,
}

/// Runs; `None` if it was stopped before its end.
pub(crate) async fn run<B: Backend>(
    settings: &Settings,
    stores: &[Arc<Store<B>>],
    tally: &Arc<Tally>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Vec<Observed>>> {
    let halt = stop.child_token();
    let goals: Vec<_> = stores.iter().map(|_| watch::Sender::new(None)).collect();
    let mut readers = start_readers(stores, &goals, &halt);
    let bystanders_end = halt.child_token();
    let mut bystanders = start_bystanders(stores, &halt, &bystanders_end);
    let over = halt.child_token();
    let mut projectors = start_projectors(settings, stores, tally, &halt, &over);

    let mut writers = start_writers(settings, stores, tally, &halt).await?;
    let writing = writers.join("the writers", settings.length + LAST_TRANSACTIONS_MAX).await;
    over.cancel();
    let projecting = projectors.join("the projectors", END_MAX).await;
    writing?;
    projecting?;

    if !halt.is_cancelled() {
        for (store, goal) in stores.iter().zip(&goals) {
            goal.send_replace(Some(store.settled().await?));
        }
    }
    let readings =
        readers.join("the readers, on their way to the horizon,", LAST_READS_MAX).await?;
    for store in stores {
        projector_process(settings, store).catch_up(&halt).await?;
    }
    bystanders_end.cancel();
    bystanders.join("the unrelated transactions", END_MAX).await?;
    if halt.is_cancelled() {
        return Ok(None);
    }
    collect(stores, readings).await.map(Some)
}

type Reading = (usize, Role, Trail);

fn start_readers<B: Backend>(
    stores: &[Arc<Store<B>>],
    goals: &[watch::Sender<Option<Position>>],
    halt: &CancellationToken,
) -> Tasks<Reading> {
    let mut readers = Tasks::new(halt);
    for (index, (store, goal)) in stores.iter().zip(goals).enumerate() {
        for role in Role::all() {
            let (backend, halt) = (Arc::clone(&store.backend), halt.clone());
            let reader = Reader { backend, role, goal: goal.subscribe(), halt };
            readers.spawn(format!("{}, {role}", store.name), async move {
                let (role, trail) = reader.run().await?;
                Ok((index, role, trail))
            });
        }
    }
    readers
}

fn start_bystanders<B: Backend>(
    stores: &[Arc<Store<B>>],
    halt: &CancellationToken,
    end: &CancellationToken,
) -> Tasks<()> {
    let mut bystanders = Tasks::new(halt);
    for store in stores.iter().filter(|_| B::CONCURRENT_WRITERS) {
        let task = bystander::run(Arc::clone(&store.backend), end.clone());
        bystanders.spawn(format!("{}, unrelated transaction", store.name), task);
    }
    bystanders
}

fn start_projectors<B: Backend>(
    settings: &Settings,
    stores: &[Arc<Store<B>>],
    tally: &Arc<Tally>,
    halt: &CancellationToken,
    over: &CancellationToken,
) -> Tasks<()> {
    let mut projectors = Tasks::new(halt);
    let mut seeds = Rng::with_seed(settings.seed);
    for store in stores {
        for lives in [Lives::PROJECTOR, Lives::RIVAL] {
            let process = projector_process(settings, store);
            let (tally, over) = (Arc::clone(tally), over.clone());
            let task = process.haunt(lives, seeds.fork(), tally, over);
            projectors.spawn(format!("{}, projector", store.name), task);
        }
    }
    projectors
}

fn projector_process<B: Backend>(settings: &Settings, store: &Store<B>) -> ProjectorProcess {
    ProjectorProcess { url: settings.url.clone(), store: store.name.clone() }
}

pub(crate) async fn start_writers<B: Backend>(
    settings: &Settings,
    stores: &[Arc<Store<B>>],
    tally: &Arc<Tally>,
    halt: &CancellationToken,
) -> anyhow::Result<Tasks<()>> {
    // Each writer has one at most.
    let prepares = match stores.first() {
        Some(store) => store.backend.prepared_max().await? >= settings.writers,
        None => false,
    };
    if !prepares {
        println!("without prepared transactions: the database has none, or fewer than writers");
    }
    let deadline = Instant::now() + settings.length;
    let mut writers = Tasks::new(halt);
    let mut seeds = Rng::with_seed(settings.seed);
    for (number, store) in (1..=settings.writers).zip(stores.iter().cycle()) {
        let name = format!("{}_{number}", store.name);
        let writer = Writer {
            store: Arc::clone(store),
            tally: Arc::clone(tally),
            rng: seeds.fork(),
            isolation: settings.isolations.of_writer(number),
            rest: settings.rest,
            prepared_names: prepares.then(|| PreparedNames::new(name.clone())),
            deadline,
            halt: halt.clone(),
        };
        writers.spawn(format!("writer {name}"), writer.run());
    }
    Ok(writers)
}

async fn collect<B: Backend>(
    stores: &[Arc<Store<B>>],
    readings: Vec<Reading>,
) -> anyhow::Result<Vec<Observed>> {
    let mut observed = Vec::new();
    for store in stores {
        observed.push(Observed::of(store).await?);
    }
    for (index, role, trail) in readings {
        observed[index].readings.push((role, trail));
    }
    Ok(observed)
}

impl Observed {
    /// What was committed and projected, without what others have read.
    pub(crate) async fn of<B: Backend>(store: &Store<B>) -> anyhow::Result<Self> {
        let totals = store.backend.totals().await?.into_iter().map(|(id, events, last_version)| {
            let events = u64::try_from(events).context("a negative count")?;
            Ok((Aggregate::parse(&id)?, events, last_version))
        });
        Ok(Observed {
            truth: store.ledger.events()?,
            readings: Vec::new(),
            effects: Sighting::of_rows(store.backend.effects().await?)?,
            totals: totals.collect::<anyhow::Result<_>>()?,
        })
    }
}
