//! How long it takes until partitions that lost their worker are with another.

use std::time::Duration;

use es::adapter::Epoch;
use es::{Partition, ProjectionName, WorkerId};
use tokio::time::{Instant, sleep};

use super::calm;
use super::database::Faulty;

/// How long is waited for a takeover that takes too long, to say how long it took.
const WATCH_MAX: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(20);

/// A partition, and who has it.
#[derive(Debug, Clone)]
pub(super) struct Orphan {
    projection: ProjectionName,
    partition: Partition,
    owner: WorkerId,
    epoch: Epoch,
}

/// The partitions that belong to a worker.
pub(super) async fn belongings<B: Faulty>(
    backend: &B,
    worker: &WorkerId,
) -> anyhow::Result<Vec<Orphan>> {
    let partitions = calm::partitions(backend).await?.into_iter();
    let own = partitions.filter(|(_, state)| state.owner.as_ref() == Some(worker));
    let orphan = |(projection, state): (ProjectionName, es::PartitionState)| Orphan {
        projection,
        partition: state.partition,
        owner: worker.clone(),
        epoch: state.epoch,
    };
    Ok(own.map(orphan).collect())
}

impl Orphan {
    pub(super) fn is(&self, projection: &ProjectionName, partition: Partition) -> bool {
        self.projection == *projection && self.partition == partition
    }
}

/// How long it took, from `since`, until all of them were with others; as long as it was looked at
/// if that never came.
pub(super) async fn watch<B: Faulty>(
    backend: &B,
    since: Instant,
    mut orphans: Vec<Orphan>,
) -> anyhow::Result<Duration> {
    let mut longest = Duration::ZERO;
    while !orphans.is_empty() && since.elapsed() < WATCH_MAX {
        let partitions = calm::partitions(backend).await?;
        let took = since.elapsed();
        orphans.retain(|orphan| {
            let found = partitions
                .iter()
                .find(|(projection, state)| orphan.is(projection, state.partition));
            let is_taken = found.is_some_and(|(_, state)| {
                state.epoch != orphan.epoch
                    && state.owner.as_ref().is_some_and(|owner| *owner != orphan.owner)
            });
            if is_taken {
                longest = longest.max(took);
            }
            !is_taken
        });
        sleep(POLL).await;
    }
    Ok(if orphans.is_empty() { longest } else { since.elapsed() })
}
