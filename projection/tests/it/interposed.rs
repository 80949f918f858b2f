//! A rescale that comes between the look at a projection's partitions and the lock on one of them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use es::conformance::{Fixture, MemoryHarness};
use es::memory::{MemoryConnection, MemoryStore};
use es::{PartitionCount, PersistedEvent, ProjectionName, StoreError, StreamId};
use projection::conformance::append_numbers;
use projection::operator::{Rescaled, RetriedLetters};
use projection::{
    EventContext, FailurePolicy, HandlerError, Operator, OperatorError, Processor, Projection,
    Retries,
};
use tokio_util::sync::CancellationToken;

use super::watched::{Moment, Watched};

static NAME: ProjectionName = ProjectionName::from_static("p");

/// Cannot handle number 3.
struct Sick;

impl Projection for Sick {
    type Connection = MemoryConnection;

    fn name(&self) -> &ProjectionName {
        &NAME
    }

    fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy::Park(Retries::new(NonZeroU32::MIN))
    }

    async fn handle(
        &self,
        _conn: &mut MemoryConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        if event.payload_json::<i64>()? == 3 { Err("poison".into()) } else { Ok(()) }
    }
}

/// Rescales before a checkpoint is locked, as often as it is told to.
struct Rescaler {
    inner: MemoryStore,
    rescales_left: AtomicU16,
    rescales: AtomicU16,
}

impl Rescaler {
    async fn rescale(&self) {
        let left = self.rescales_left.load(Ordering::Relaxed);
        if left > 0 {
            self.rescales_left.store(left - 1, Ordering::Relaxed);
            // It goes up and down, so that the partition that was found is of another number or
            // not there at all.
            let before = self.rescales.fetch_add(1, Ordering::Relaxed);
            let total = PartitionCount::of(if before.is_multiple_of(2) { 9 } else { 1 });
            let rescaled =
                Operator::new(&self.inner).rescale(&NAME, total).await.expect("rescaled");
            assert_eq!(rescaled, Rescaled::Done);
        }
    }
}

#[tokio::test]
async fn a_retry_looks_again_after_a_rescale() {
    let inner = MemoryStore::default();
    let fixture = Fixture { harness: MemoryHarness, source: inner.clone() };
    append_numbers(&fixture, 10).await;
    let processor = Processor::new(Arc::new(inner.clone())).with_projection(Sick);
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    let rescaler =
        Arc::new(Rescaler { inner: inner.clone(), rescales_left: 3.into(), rescales: 0.into() });
    let before_lock = Arc::clone(&rescaler);
    let store = Watched::new(
        &inner,
        Box::new(move |moment, call| {
            let rescaler = Arc::clone(&before_lock);
            Box::pin(async move {
                if (moment, call) == (Moment::Before, "lock_checkpoint") {
                    rescaler.rescale().await;
                }
            })
        }),
    );
    let stream = StreamId::new("Test", "Thing", "stream-3").expect("a valid name");
    let again = Operator::new(&store).retry(&Sick, &stream).await.expect("it is tried");
    assert!(matches!(again, RetriedLetters::Failed { handled: 0, .. }), "{again:?}");
    assert_eq!(rescaler.rescales.load(Ordering::Relaxed), 3);

    // There is an end to it, and what it says harms nobody.
    rescaler.rescales_left.store(u16::MAX, Ordering::Relaxed);
    let again = Operator::new(&store).retry(&Sick, &stream).await.expect_err("it gives up");
    let OperatorError::Store(StoreError::Retryable { source, .. }) = again else {
        panic!("{again:?}")
    };
    assert!(source.to_string().contains("number of partitions"), "{source}");
}
