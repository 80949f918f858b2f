//! One of the workers' seats: somebody sits down, and then something happens to them.

use std::sync::Arc;
use std::time::Duration;

use es::adapter::CheckpointStore;
use es::{EventSource, Partition, WorkerId};
use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::population::Population;
use super::process::WorkerProcess;
use super::watcher::{self, Seen};
use super::{LEASE, POLL};
use crate::backend::Backend;
use crate::effects::EFFECTS;

/// How long a seat stays empty at most.
const GAP_MAX: Duration = Duration::from_secs(1);

/// How long a worker is left alone at most.
const PEACE_MAX: Duration = Duration::from_secs(3);

/// How long nobody is stopped or killed after a kill, at most.
const MOURNING_MAX: Duration = Duration::from_secs(10);

/// How long it may take to see that a lock is free.
const LOCK_PROBE_MAX: Duration = Duration::from_millis(100);

/// How often a worker is let go on at once because it holds a lock.
const LOCK_PROBES: u32 = 20;

/// Where one worker after the other sits.
pub(super) struct Seat<B> {
    pub(super) number: usize,
    pub(super) url: String,
    pub(super) store: String,
    pub(super) backend: Arc<B>,
    pub(super) population: Arc<Population>,
    pub(super) seen: watch::Receiver<Seen>,
    pub(super) rng: Rng,
    pub(super) over: CancellationToken,
}

/// What happens to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Killed,
    Paused,
    Leaves,
}

impl<B: Backend> Seat<B> {
    /// Starts workers, and does to them what comes into its mind, until it is over.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let (mut fates, mut count) = (Vec::new(), 0);
        loop {
            let gap = GAP_MAX.mul_f64(self.rng.f64());
            if self.over.run_until_cancelled(sleep(gap)).await.is_none() {
                return Ok(());
            }
            count += 1;
            let id = WorkerId::new(format!("seat-{}-worker-{count}", self.number))?;
            let process = WorkerProcess::start(&self.url, &self.store, id).await?;
            self.population.joined(process.id());
            self.live(process, &mut fates).await?;
        }
    }

    /// A worker's life.
    async fn live(
        &mut self,
        mut process: WorkerProcess,
        fates: &mut Vec<Fate>,
    ) -> anyhow::Result<()> {
        loop {
            let peace = POLL + PEACE_MAX.mul_f64(self.rng.f64());
            tokio::select! {
                () = self.over.cancelled() => return self.leave(process).await,
                () = sleep(peace) => {}
                failure = process.failure() => return Err(failure),
            }
            match self.draw(fates) {
                Fate::Killed => return self.kill(process).await,
                Fate::Leaves => return self.leave(process).await,
                Fate::Paused => self.pause(&process).await?,
            }
        }
    }

    /// Each in its turn, in an order that changes.
    fn draw(&mut self, fates: &mut Vec<Fate>) -> Fate {
        if fates.is_empty() {
            fates.extend([Fate::Killed, Fate::Paused, Fate::Leaves]);
            self.rng.shuffle(fates);
        }
        fates.pop().unwrap_or(Fate::Leaves)
    }

    async fn leave(&self, process: WorkerProcess) -> anyhow::Result<()> {
        self.population.leaving(process.id());
        process.leave().await
    }

    /// Kills it, and waits until others have its partitions.
    async fn kill(&mut self, process: WorkerProcess) -> anyhow::Result<()> {
        let population = Arc::clone(&self.population);
        let violence = self.over.run_until_cancelled(population.violence.lock()).await;
        let Some(_violence) = violence else {
            return self.leave(process).await;
        };
        let id = process.id().clone();
        let since = self.population.dying(&id);
        process.kill().await?;
        let mourned = |seen: &Seen| seen.at > since && !seen.missed.contains(&id);
        // If it takes longer, the watcher's figures say so.
        let _ = timeout(MOURNING_MAX, self.seen.wait_for(mourned)).await;
        Ok(())
    }

    /// Stops it for longer than its lease, then lets it go on.
    async fn pause(&mut self, process: &WorkerProcess) -> anyhow::Result<()> {
        {
            let population = Arc::clone(&self.population);
            let violence = self.over.run_until_cancelled(population.violence.lock()).await;
            let Some(_violence) = violence else {
                return Ok(());
            };
            if !self.freeze(process).await? {
                return Ok(());
            }
            population.paused(process.id());
        }
        let pause = LEASE.mul_f64(1.5 + self.rng.f64());
        let _ = self.over.run_until_cancelled(sleep(pause)).await;
        self.population.continuing(process.id());
        process.thaw()
    }

    /// Stops it. One that is in a transaction keeps its locks, so that nobody can take its partition
    /// from it: half of the time, it is stopped where one of its partitions can be taken. Where
    /// there is one write lock that is always so, for nobody could do anything without that. `false`
    /// if there was no such moment.
    async fn freeze(&mut self, process: &WorkerProcess) -> anyhow::Result<bool> {
        if B::CONCURRENT_WRITERS && self.rng.bool() {
            process.freeze()?;
            return Ok(true);
        }
        for _ in 0..LOCK_PROBES {
            process.freeze()?;
            let backend = Arc::clone(&self.backend);
            let probe = can_be_robbed(backend, process.id().clone(), self.rng.fork());
            let mut probe = tokio::spawn(probe);
            if let Ok(can_be_robbed) = timeout(LOCK_PROBE_MAX, &mut probe).await {
                if can_be_robbed?? {
                    return Ok(true);
                }
                process.thaw()?;
            } else {
                process.thaw()?;
                // When it gets the lock, the worker has come to the end of its transaction.
                probe.await??;
            }
            sleep(Duration::from_millis(self.rng.u64(1..50))).await;
        }
        Ok(false)
    }
}

/// Whether one of the partitions of a worker can be locked; waits for the lock.
async fn can_be_robbed<B: Backend>(
    backend: Arc<B>,
    id: WorkerId,
    mut rng: Rng,
) -> anyhow::Result<bool> {
    let source = backend.source();
    let partitions = watcher::partitions(&*backend, &EFFECTS).await?;
    let owned = partitions.iter().filter(|state| state.owner.as_ref() == Some(&id));
    let owned: Vec<Partition> = owned.map(|state| state.partition).collect();
    let mut tx = source.begin().await?;
    let is_free = match rng.choice(&owned) {
        None => true,
        Some(partition) => {
            source.store().lock_checkpoint(&mut tx, &EFFECTS, *partition).await.is_ok()
        }
    };
    source.rollback(tx).await?;
    Ok(is_free)
}
