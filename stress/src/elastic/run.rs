//! One run: writers, workers and whatever happens to them; then new workers; then the accounts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use es::{PartitionState, Position, WorkerId};
use fastrand::Rng;
use projection::Operator;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::letters::{self, Letters};
use super::outcome::Outcome;
use super::population::Population;
use super::process::WorkerProcess;
use super::seat::Seat;
use super::takeovers::Takeovers;
use super::watcher::{self, Seen};
use super::{PARTITIONS, SEATS, rescaling};
use crate::backend::Backend;
use crate::effects::EFFECTS;
use crate::run::{END_MAX, LAST_TRANSACTIONS_MAX, Observed, Settings, start_writers};
use crate::store::Store;
use crate::tally::Tally;
use crate::tasks::Tasks;

/// How many workers clear up in the end.
const LAST_WORKERS: usize = 3;

/// How long the last change of the number of partitions may take beyond the writers' time.
const LAST_CHANGE_MAX: Duration = Duration::from_mins(3);

/// How long workers that stand in each other's way may take to leave.
const LEAVE_MAX: Duration = Duration::from_mins(2);

/// How long the last workers may take to project what is left, and the operator to retry what was
/// parked.
const CATCH_UP_MAX: Duration = Duration::from_mins(5);

/// Runs; `None` if it was stopped before its end.
pub(crate) async fn run<B: Backend>(
    settings: &Settings,
    store: &Arc<Store<B>>,
    tally: &Arc<Tally>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Outcome>> {
    let (halt, population) = (stop.child_token(), Arc::new(Population::default()));
    // Seats are left before those who look after them.
    let (seats_over, over) = (halt.child_token(), halt.child_token());
    let (saw, seen) = watch::channel(Seen::nothing());
    let backend = || Arc::clone(&store.backend);
    let mut watcher: Tasks<Takeovers> = Tasks::new(&halt);
    let watching = watcher::run(backend(), Arc::clone(&population), saw, over.clone());
    watcher.spawn("the watcher", watching);
    let mut operator: Tasks<Letters> = Tasks::new(&halt);
    operator.spawn("the dead letters", letters::run(backend(), over.clone()));
    let mut seats = start_seats(settings, store, &population, &seen, &halt, &seats_over);
    let mut changes = Tasks::new(&halt);
    let length = settings.length;
    let changing = rescaling::run(backend(), Arc::clone(&population), length, halt.clone());
    changes.spawn("the numbers of partitions", changing);

    let stores = std::slice::from_ref(store);
    let mut writers = start_writers(settings, stores, tally, &halt).await?;
    let writing = writers.join("the writers", length + LAST_TRANSACTIONS_MAX).await;
    let changing = changes.join("the last change", LAST_CHANGE_MAX).await;
    seats_over.cancel();
    let sitting = seats.join("the workers", LEAVE_MAX).await;
    over.cancel();
    let watching = watcher.join("the watcher", END_MAX).await;
    let retrying = operator.join("the operator", END_MAX).await;
    writing?;
    let changes = changing?.pop();
    sitting?;
    let (takeovers, letters) = (watching?.pop(), retrying?.pop());
    if halt.is_cancelled() {
        return Ok(None);
    }
    let (Some(changes), Some(takeovers), Some(mut letters)) = (changes, takeovers, letters) else {
        bail!("a task ended without an answer");
    };
    clear_up(settings, store, &mut letters, &halt).await?;
    if halt.is_cancelled() {
        return Ok(None);
    }
    let observed = Observed::of(store).await?;
    Ok(Some(Outcome { observed, population, takeovers, changes, letters }))
}

fn start_seats<B: Backend>(
    settings: &Settings,
    store: &Arc<Store<B>>,
    population: &Arc<Population>,
    seen: &watch::Receiver<Seen>,
    halt: &CancellationToken,
    over: &CancellationToken,
) -> Tasks<()> {
    let mut seats = Tasks::new(halt);
    let mut seeds = Rng::with_seed(settings.seed);
    for number in 1..=SEATS {
        let seat = Seat {
            number,
            url: settings.url.clone(),
            store: store.name.clone(),
            backend: Arc::clone(&store.backend),
            population: Arc::clone(population),
            seen: seen.clone(),
            rng: seeds.fork(),
            over: over.clone(),
        };
        seats.spawn(format!("seat {number}"), seat.run());
    }
    seats
}

/// What the names of the workers begin with that clear up.
const LAST_WORKER: &str = "last-";

/// Lets new workers project what is left, retries what is parked, and sees that everybody leaves
/// everything tidy.
async fn clear_up<B: Backend>(
    settings: &Settings,
    store: &Arc<Store<B>>,
    letters: &mut Letters,
    halt: &CancellationToken,
) -> anyhow::Result<()> {
    let end = store.settled().await?;
    let over = halt.child_token();
    let mut workers = Tasks::new(halt);
    for number in 1..=LAST_WORKERS {
        let (url, name) = (settings.url.clone(), store.name.clone());
        let id = WorkerId::new(format!("{LAST_WORKER}{number}"))?;
        let over = over.clone();
        workers.spawn(format!("last worker {number}"), async move {
            let mut process = WorkerProcess::start(&url, &name, id).await?;
            tokio::select! {
                () = over.cancelled() => process.leave().await,
                failure = process.failure() => Err(failure),
            }
        });
    }
    let caught_up = halt.run_until_cancelled(catch_up(&store.backend, end, letters, halt)).await;
    over.cancel();
    workers.join("the last workers", LEAVE_MAX).await?;
    match caught_up {
        Some(caught_up) => caught_up?,
        None => return Ok(()),
    }
    check_rows(&watcher::partitions(&*store.backend, &EFFECTS).await?)
}

async fn catch_up<B: Backend>(
    backend: &Arc<B>,
    end: Position,
    letters: &mut Letters,
    halt: &CancellationToken,
) -> anyhow::Result<()> {
    Operator::new(&**backend.source()).wait_for(&EFFECTS, end, CATCH_UP_MAX).await?;
    let deadline = Instant::now() + CATCH_UP_MAX;
    while letters.retry(&**backend, halt).await? {
        if Instant::now() >= deadline {
            bail!("there are still dead letters after {CATCH_UP_MAX:?}");
        }
        sleep(Duration::from_millis(10)).await;
    }
    // A worker that was killed at the end owns its partitions until somebody takes them over.
    let is_last = |state: &PartitionState| {
        state.owner.as_ref().is_some_and(|owner| owner.as_str().starts_with(LAST_WORKER))
    };
    while !watcher::partitions(&**backend, &EFFECTS).await?.iter().all(is_last) {
        if Instant::now() >= deadline {
            bail!("the last workers do not own all partitions after {CATCH_UP_MAX:?}");
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// What the rows must say when everybody has left.
fn check_rows(partitions: &[PartitionState]) -> anyhow::Result<()> {
    let wanted = *PARTITIONS.last().context("there is a last number of partitions")?;
    if partitions.len() != usize::from(wanted.get()) {
        bail!("the projection has {} partitions, not {wanted}", partitions.len());
    }
    for state in partitions {
        if let Some(owner) = &state.owner {
            bail!("{owner} has left, and partition {} is still its own", state.partition);
        }
    }
    Ok(())
}
