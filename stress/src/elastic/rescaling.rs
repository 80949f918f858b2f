//! Gives the projection other numbers of partitions while everybody works.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use es::adapter::ProjectionStore;
use es::{EventSource, PartitionCount, ProjectionName};
use projection::operator::Rescaled;
use projection::{Operator, OperatorError};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::PARTITIONS;
use super::population::Population;
use crate::backend::Backend;
use crate::effects::EFFECTS;

/// How long the partitions may take to come to the barrier.
const DRAIN_MAX: Duration = Duration::from_mins(2);

/// How often it is asked whether they have.
const POLL: Duration = Duration::from_millis(50);

/// A change of the number of partitions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub(super) from: PartitionCount,
    pub(super) to: PartitionCount,
    pub(super) took: Duration,
}

/// Makes all changes, evenly over a run of this length.
pub(super) async fn run<B: Backend>(
    backend: Arc<B>,
    population: Arc<Population>,
    length: Duration,
    halt: CancellationToken,
) -> anyhow::Result<Vec<Change>> {
    let (started, mut changes) = (Instant::now(), Vec::new());
    let interval = length / u32::try_from(PARTITIONS.len())?;
    for (number, change) in (1..).zip(PARTITIONS.windows(2)) {
        let due = sleep_until(started + interval * number);
        if halt.run_until_cancelled(due).await.is_none() {
            break;
        }
        let &[from, to] = change else { bail!("a window of two has two") };
        let began = Instant::now();
        match halt.run_until_cancelled(rescale(&*backend, &population, to)).await {
            None => break,
            Some(rescaled) => rescaled?,
        }
        changes.push(Change { from, to, took: began.elapsed() });
    }
    Ok(changes)
}

/// Asks once; the workers do the rest, and would be held up by somebody who keeps asking.
async fn rescale<B: Backend>(
    backend: &B,
    population: &Population,
    to: PartitionCount,
) -> anyhow::Result<()> {
    let source = &**backend.source();
    let deadline = Instant::now() + DRAIN_MAX;
    let mut is_asked = false;
    while Instant::now() < deadline {
        population.rescaling(!is_asked);
        let progress = if is_asked {
            let total = partition_total(source, &EFFECTS).await;
            total.map(|total| if total == Some(to) { Rescaled::Done } else { Rescaled::Draining })
        } else {
            Operator::new(source).rescale(&EFFECTS, to).await
        };
        population.rescaling(false);
        match progress {
            Ok(Rescaled::Done) => return Ok(()),
            Ok(Rescaled::Draining) => is_asked = true,
            // The first worker is still on its way.
            Err(OperatorError::UnknownProjection { .. }) => {}
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(error.into()),
        }
        sleep(POLL).await;
    }
    bail!("the projection has not come to {to} partitions within {DRAIN_MAX:?}")
}

/// How many partitions the projection has now.
async fn partition_total<S: EventSource>(
    source: &S,
    name: &ProjectionName,
) -> Result<Option<PartitionCount>, OperatorError> {
    let mut conn = source.acquire().await?;
    let states = source.store().projections(&mut conn).await?;
    Ok(states.iter().find(|state| state.name == *name).map(|state| state.partition_total))
}
