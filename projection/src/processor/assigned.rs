//! Partitions that are run without being claimed: side by side, and stopped together.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use es::adapter::CheckpointStore;
use es::{CheckpointError, EventSource, Partition};
use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::backoff::Backoff;
use super::ownership::Ownership;
use super::registration::register_projection;
use super::run_partition::RunPartition;
use super::settings::Settings;
use super::step::Until;
use crate::error::ProcessorError;
use crate::limits::answered_within;
use crate::user_code::panic_message;

/// A partition, and the projection that it is one of.
pub(super) type Assigned<S> = (Arc<dyn RunPartition<S>>, Partition);

/// Runs partitions until all have ended. The first that fails stops all: the others finish their
/// batch.
///
/// A single one runs in this future, so that it is dropped with it; several run in tasks of their
/// own, on as many threads as there are.
pub(super) async fn run_assigned<S: EventSource>(
    settings: &Settings<S>,
    assigned: Vec<Assigned<S>>,
    until: Until,
    shutdown: CancellationToken,
) -> Result<(), ProcessorError> {
    match assigned.as_slice() {
        [one] => return run_one(settings, one, until, shutdown).await,
        [] if until == Until::Shutdown => {
            warn!("it was told no partition of any projection, and waits to be stopped");
            shutdown.cancelled().await;
        }
        _ => {}
    }
    let stop_all = shutdown.child_token();
    let mut tasks = JoinSet::new();
    for one in &assigned {
        let ended = run_one(settings, one, until, stop_all.clone());
        tasks.spawn(ended);
    }
    let mut first_failure = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let Ok(Err(failure)) = ended else {
            continue;
        };
        error!(error = &failure as &dyn Error, "stopping all partitions");
        stop_all.cancel();
        if first_failure.is_ok() {
            first_failure = Err(failure);
        }
    }
    first_failure
}

/// Runs one partition; a panic outside its handler is an error.
fn run_one<S: EventSource>(
    settings: &Settings<S>,
    (projection, partition): &Assigned<S>,
    until: Until,
    shutdown: CancellationToken,
) -> impl Future<Output = Result<(), ProcessorError>> + Send + 'static + use<S> {
    let (name, partition) = (projection.name().clone(), *partition);
    let process = settings.process.clone();
    let run = Arc::clone(projection).run_partition(
        process,
        partition,
        Ownership::Assigned,
        until,
        shutdown,
    );
    async move {
        match AssertUnwindSafe(run).catch_unwind().await {
            Ok(ended) => ended.map(drop),
            Err(payload) => {
                let (projection, message) = (name, panic_message(&*payload));
                Err(ProcessorError::Panicked { projection, partition, message })
            }
        }
    }
}

/// All partitions of all projections; those that are new are registered.
pub(super) async fn all_partitions<S: EventSource>(
    settings: &Settings<S>,
    shutdown: &CancellationToken,
) -> Result<Vec<Assigned<S>>, ProcessorError> {
    let mut all = Vec::new();
    for projection in &settings.projections {
        let found = shutdown.run_until_cancelled(partitions_of(settings, &**projection)).await;
        let Some(partitions) = found else {
            return Ok(Vec::new());
        };
        let of = |partition| (Arc::clone(projection), partition);
        all.extend(partitions?.into_iter().map(of));
    }
    Ok(all)
}

/// The partitions of a projection, asked for as often as it may be tried.
async fn partitions_of<S: EventSource>(
    settings: &Settings<S>,
    projection: &dyn RunPartition<S>,
) -> Result<Vec<Partition>, ProcessorError> {
    let (name, options) = (projection.name(), projection.options());
    let (source, time_max) = (&*settings.process.source, options.time_max);
    let mut backoff = Backoff::default();
    loop {
        let asked = async {
            register_projection(source, name, options.partitions, time_max).await?;
            let mut conn = source.acquire().await?;
            let checkpoints = source.store().checkpoints(&mut conn, name).await?;
            source.release(conn);
            Ok(checkpoints)
        };
        let (projection, partition) = (name.clone(), Partition::ALL);
        let failure = match answered_within::<_, CheckpointError>(time_max, asked).await {
            Ok(checkpoints) => return Ok(checkpoints.iter().map(|one| one.partition).collect()),
            Err(CheckpointError::Store(source)) if source.is_retryable() => source,
            Err(CheckpointError::Store(source)) => {
                return Err(ProcessorError::Store { projection, partition, source });
            }
            Err(error) => return Err(ProcessorError::Checkpoint(error)),
        };
        let (delay, attempts) = (backoff.next(false), backoff.count);
        if u32::try_from(attempts).is_ok_and(|attempts| attempts >= options.attempts_max.get()) {
            let (position, source) = (None, failure.into());
            return Err(ProcessorError::RetriesExhausted {
                projection,
                partition,
                position,
                attempts,
                source,
            });
        }
        info!(projection = %name, reason = &failure as &dyn Error, ?delay, "trying again");
        sleep(delay).await;
    }
}
