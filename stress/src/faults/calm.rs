//! When everything goes its way again.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use es::adapter::ProjectionStore;
use es::{EventSource, PartitionState, ProjectionName, StoreError};
use tokio::time::{Instant, sleep, timeout};

use super::PROJECTIONS;
use super::database::Faulty;
use super::seat::Seat;

/// How long everybody may take to be back at work after a fault.
pub(super) const CALM_MAX: Duration = Duration::from_secs(30);

/// How long what this program itself asks of the database is tried.
const INSIST_MAX: Duration = Duration::from_secs(40);

/// How long one attempt at that may take, beside what it is to take.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(20);

/// Tries again while the database has one of the faults that are being done to it.
pub(super) async fn insist<T, E, F>(what: &str, attempt: impl Fn() -> F) -> anyhow::Result<T>
where
    E: Into<anyhow::Error>,
    F: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + INSIST_MAX;
    loop {
        let error = match timeout(ATTEMPT_MAX, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error.into(),
            Err(_) => anyhow::anyhow!("no answer within {ATTEMPT_MAX:?}"),
        };
        if Instant::now() >= deadline {
            return Err(error.context(format!("{what}: tried for {INSIST_MAX:?}")));
        }
        sleep(POLL).await;
    }
}

/// The partitions of both projections.
pub(super) async fn partitions<B: Faulty>(
    backend: &B,
) -> anyhow::Result<Vec<(ProjectionName, PartitionState)>> {
    let mut all = Vec::new();
    for (name, _) in PROJECTIONS {
        let name = ProjectionName::new(name)?;
        let states = insist("looking at partitions", || partitions_of(backend, &name)).await?;
        all.extend(states.into_iter().map(|state| (name.clone(), state)));
    }
    Ok(all)
}

async fn partitions_of<B: Faulty>(
    backend: &B,
    name: &ProjectionName,
) -> Result<Vec<PartitionState>, StoreError> {
    let source = backend.source();
    let mut conn = source.acquire().await?;
    let partitions = source.store().partitions(&mut conn, name).await?;
    source.release(conn);
    Ok(partitions)
}

/// Waits until every partition is with a worker that is there and has renewed its lease, and every
/// worker has some. Meanwhile no worker leaves or is dropped, unless by a handler.
pub(super) async fn wait<B: Faulty>(backend: &B, seats: &[Arc<Seat>]) -> anyhow::Result<()> {
    let mut peace = Vec::new();
    for seat in seats {
        peace.push(seat.peace.lock().await);
    }
    let deadline = Instant::now() + CALM_MAX;
    loop {
        let partitions = partitions(backend).await?;
        let workers: BTreeSet<_> = seats.iter().filter_map(|seat| seat.worker()).collect();
        let is_kept = |state: &PartitionState| {
            let is_leased = state.lease_left.is_some_and(|left| !left.is_zero());
            is_leased && state.owner.as_ref().is_some_and(|owner| workers.contains(owner))
        };
        let total: usize = PROJECTIONS.iter().map(|(_, total)| usize::from(total.get())).sum();
        let kept = partitions.iter().filter(|(_, state)| is_kept(state));
        let owners: BTreeSet<_> =
            kept.clone().filter_map(|(_, state)| state.owner.clone()).collect();
        if kept.count() == total && owners.len() == seats.len() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let left =
                partitions.iter().filter(|(_, state)| !is_kept(state)).map(|(name, state)| {
                    format!(
                        "{name} {} of {:?}, {:?}",
                        state.partition, state.owner, state.last_error
                    )
                });
            let left = left.collect::<Vec<_>>().join("; ");
            bail!(
                "{CALM_MAX:?} after the last fault not everybody is back at work: {} of {} workers \
                 have partitions; nobody has {left}",
                owners.len(),
                workers.len()
            );
        }
        sleep(POLL).await;
    }
}
