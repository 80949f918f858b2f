//! Waiting until a projection has handled what was just appended.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use es::adapter::{CheckpointStore, PartitionCheckpoint};
use es::{EventSource, Position, ProjectionName, StoreError, StreamId};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};

/// The longest pause between two looks at the checkpoints.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Why a wait failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The projection has not come so far in time.
    #[error("projection {projection} has not come to position {position} within {waited:?}")]
    TimedOut {
        /// The projection.
        projection: ProjectionName,
        /// The position waited for.
        position: Position,
        /// How long the caller waited.
        waited: Duration,
    },

    /// There is no such projection, and none was registered while the caller waited.
    #[error(
        "there is no projection {projection}: it is registered when a worker starts that runs it, \
         so look at its name, or start one"
    )]
    UnknownProjection {
        /// The projection.
        projection: ProjectionName,
    },

    /// The store did not say how far it has come.
    #[error("cannot see how far projection {projection} has come")]
    Store {
        /// The projection.
        projection: ProjectionName,
        /// What the store said.
        source: StoreError,
    },
}

/// Waits until every partition of `projection` has handled all events up to `position`, such as
/// [`AppendResult::last_position`](es::AppendResult::last_position): read your own writes.
///
/// A partition for which there is nothing moves its checkpoint once a second at most:
/// [`wait_for_stream`] waits for one partition only. An event that was parked, or queues after
/// one, counts as handled.
///
/// # Errors
///
/// [`WaitError::TimedOut`], and [`WaitError::UnknownProjection`] if the projection was not
/// registered by then.
///
/// # Cancel safety
///
/// Cancel safe: it only reads.
pub async fn wait_for<S: EventSource>(
    source: &S,
    projection: &ProjectionName,
    position: Position,
    time_max: Duration,
) -> Result<(), WaitError> {
    wait(source, projection, position, time_max, |_| true).await
}

/// Waits until the partition that `stream` belongs to has handled all events up to `position`.
///
/// # Errors
///
/// As [`wait_for`].
///
/// # Cancel safety
///
/// Cancel safe: it only reads.
pub async fn wait_for_stream<S: EventSource>(
    source: &S,
    projection: &ProjectionName,
    stream: &StreamId,
    position: Position,
    time_max: Duration,
) -> Result<(), WaitError> {
    let is_its = |one: &PartitionCheckpoint| one.partition.contains(stream.slot());
    wait(source, projection, position, time_max, is_its).await
}

async fn wait<S: EventSource>(
    source: &S,
    projection: &ProjectionName,
    position: Position,
    time_max: Duration,
    concerns: impl Fn(&PartitionCheckpoint) -> bool,
) -> Result<(), WaitError> {
    let (started, mut is_known) = (Instant::now(), true);
    let look = async {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(1))
            .with_max_delay(PAUSE_MAX)
            .without_max_times();
        let mut pauses = pauses.build();
        loop {
            let checkpoints = checkpoints(source, projection).await?;
            if have_come_to(position, &checkpoints, &concerns) {
                return Ok(());
            }
            is_known = !checkpoints.is_empty();
            sleep(pauses.next().unwrap_or(PAUSE_MAX)).await;
        }
    };
    let waited = timeout(time_max, look).await;
    let projection = projection.clone();
    match waited {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(WaitError::Store { projection, source }),
        Err(_) if !is_known => Err(WaitError::UnknownProjection { projection }),
        Err(_) => Err(WaitError::TimedOut { projection, position, waited: started.elapsed() }),
    }
}

/// A function of its own: an iterator that lives on beside the pause would keep generic callers
/// from spawning the future.
fn have_come_to(
    position: Position,
    checkpoints: &[PartitionCheckpoint],
    concerns: impl Fn(&PartitionCheckpoint) -> bool,
) -> bool {
    let mut concerned = checkpoints.iter().filter(|one| concerns(one)).peekable();
    concerned.peek().is_some() && concerned.all(|one| one.position >= position)
}

async fn checkpoints<S: EventSource>(
    source: &S,
    projection: &ProjectionName,
) -> Result<Vec<PartitionCheckpoint>, StoreError> {
    let mut conn = source.acquire().await?;
    let checkpoints = source.store().checkpoints(&mut conn, projection).await?;
    source.release(conn);
    Ok(checkpoints)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a handler of a web framework needs, whatever the database.
    fn spawnable<S: EventSource>(
        source: &S,
        projection: &ProjectionName,
        stream: &StreamId,
    ) -> impl Future<Output = Result<(), WaitError>> + Send {
        wait_for_stream(source, projection, stream, Position::START, Duration::ZERO)
    }

    #[tokio::test]
    async fn generic_callers_can_spawn_a_wait() {
        let store = es::memory::MemoryStore::default();
        let projection = ProjectionName::new("totals").unwrap();
        let stream = StreamId::new("Sales", "Order", "order-1").unwrap();
        let waited = spawnable(&store, &projection, &stream).await;
        assert!(matches!(waited, Err(WaitError::UnknownProjection { .. })), "{waited:?}");
    }
}
