//! Waiting until a projection has handled what was just appended.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use es::adapter::{CheckpointStore, PartitionCheckpoint};
use es::{EventSource, Position, ProjectionName, StoreError, StreamId};
use tokio::time::{Instant, sleep, timeout};

use super::base::Operator;
use super::error::OperatorError;

/// The longest pause between two looks at the checkpoints.
const PAUSE_MAX: Duration = Duration::from_millis(50);

impl<S: EventSource> Operator<'_, S> {
    /// Waits until every partition of `projection` has handled all events up to `position`, such as
    /// [`AppendResult::last_position`](es::AppendResult::last_position): read your own writes.
    ///
    /// A partition for which there is nothing moves its checkpoint once a second at most:
    /// [`wait_for_stream`](Operator::wait_for_stream) waits for one partition only. An event that
    /// was parked, or queues after one, counts as handled.
    ///
    /// # Errors
    ///
    /// [`OperatorError::TimedOut`] after `time_max`, [`OperatorError::UnknownProjection`] if the
    /// projection was not registered by then, and whatever the database says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn wait_for(
        self,
        projection: &ProjectionName,
        position: Position,
        time_max: Duration,
    ) -> Result<(), OperatorError> {
        self.wait(projection, position, time_max, |_| true).await
    }

    /// Waits until the partition that `stream` belongs to has handled all events up to `position`.
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Operator::wait_for).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn wait_for_stream(
        self,
        projection: &ProjectionName,
        stream: &StreamId,
        position: Position,
        time_max: Duration,
    ) -> Result<(), OperatorError> {
        let is_its = |one: &PartitionCheckpoint| one.partition.contains(stream.slot());
        self.wait(projection, position, time_max, is_its).await
    }

    async fn wait(
        self,
        projection: &ProjectionName,
        position: Position,
        time_max: Duration,
        concerns: impl Fn(&PartitionCheckpoint) -> bool,
    ) -> Result<(), OperatorError> {
        let (started, mut is_known) = (Instant::now(), true);
        let look = async {
            let pauses = ExponentialBuilder::new()
                .with_min_delay(Duration::from_millis(1))
                .with_max_delay(PAUSE_MAX)
                .without_max_times();
            let mut pauses = pauses.build();
            loop {
                let checkpoints = checkpoints(self.source, projection).await?;
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
            Ok(looked) => looked,
            Err(_) if !is_known => Err(OperatorError::UnknownProjection { projection }),
            Err(_) => {
                let waited = started.elapsed();
                Err(OperatorError::TimedOut { projection, position, waited })
            }
        }
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
    ) -> impl Future<Output = Result<(), OperatorError>> + Send {
        let operator = Operator::new(source);
        operator.wait_for_stream(projection, stream, Position::START, Duration::ZERO)
    }

    #[tokio::test]
    async fn generic_callers_can_spawn_a_wait() {
        let store = es::memory::MemoryStore::default();
        let projection = ProjectionName::new("totals").unwrap();
        let stream = StreamId::new("Sales", "Order", "order-1").unwrap();
        let waited = spawnable(&store, &projection, &stream).await;
        assert!(matches!(waited, Err(OperatorError::UnknownProjection { .. })), "{waited:?}");
    }
}
