//! Projects: four workers over disjoint shares of the files, until they have caught up.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use es::{EventSource, Partition, PartitionCount};
use indicatif::ProgressBar;
use projection::operator::PartitionLag;
use projection::{Operator, OperatorError, Processor};
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::file_stats::{FileStats, NAME};
use crate::progress;

/// How many workers share the files.
const PARTITIONS: PartitionCount = PartitionCount::of(4);

/// How often the progress bar asks where the workers are.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// What one run has projected.
pub(crate) struct Projected {
    /// Events this run projected; those an earlier run projected are not among them.
    pub(crate) events: i64,
    pub(crate) elapsed: Duration,
    /// Where each worker was in the end.
    pub(crate) lag: Vec<PartitionLag>,
}

/// Runs the workers until every event is projected, or until `stop`.
pub(crate) async fn run<B: Backend>(
    backend: &Arc<B>,
    stop: &CancellationToken,
) -> anyhow::Result<Projected> {
    let started = Instant::now();
    let before = backend.changes_projected().await?;
    let source = backend.source();
    let processor = Processor::new(Arc::clone(source))
        .with_projection(FileStats::<B>::new())
        .with_assigned(Partition::split(PARTITIONS));

    let bar = progress::bar("projecting events", 0);
    tokio::select! {
        result = processor.run_until_caught_up(stop.clone()) => result.context("a worker stopped")?,
        error = follow(&**source, &bar) => return Err(error),
    }
    bar.finish_and_clear();

    let elapsed = started.elapsed();
    let events = backend.changes_projected().await? - before;
    let lag = lags(&**source).await?;
    Ok(Projected { events, elapsed, lag })
}

/// Moves the bar until dropped. Each worker passes over the whole log, so the bar counts the
/// positions all of them have still to pass, shared among the workers.
async fn follow<S: EventSource>(source: &S, bar: &ProgressBar) -> anyhow::Error {
    let watch = async {
        loop {
            tokio::time::sleep(PROGRESS_INTERVAL).await;
            let lags = lags(source).await?;
            let Some(horizon) = lags.iter().map(|lag| lag.horizon.get()).max() else {
                continue;
            };
            let length = u64::try_from(horizon)?;
            let to_pass =
                lags.iter().map(|lag| lag.positions()).sum::<u64>() / u64::from(PARTITIONS.get());
            bar.set_length(length);
            bar.set_position(length.saturating_sub(to_pass));
        }
    };
    let failed: anyhow::Result<Infallible> = watch.await;
    match failed {
        Err(error) => error.context("cannot read how far the workers are"),
    }
}

/// Nothing until the projection is registered.
async fn lags<S: EventSource>(source: &S) -> Result<Vec<PartitionLag>, OperatorError> {
    match Operator::new(source).lag(&NAME).await {
        Err(OperatorError::UnknownProjection { .. }) => Ok(Vec::new()),
        lags => lags,
    }
}
