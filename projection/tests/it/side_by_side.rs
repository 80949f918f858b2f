//! What runs side by side in one process: processors on different stores, partitions of one.

use std::sync::Arc;

use es::conformance::{Fixture, MemoryHarness};
use es::memory::{MemoryConnection, MemoryStore};
use es::{Partition, PartitionCount, PersistedEvent, ProjectionName};
use projection::conformance::{Recorder, append_numbers};
use projection::{
    EventContext, FailurePolicy, HandlerError, Processor, ProcessorError, Projection,
};
use tokio_util::sync::CancellationToken;

async fn store_with(events: i64) -> MemoryStore {
    let source = MemoryStore::default();
    append_numbers(&Fixture { harness: MemoryHarness, source: source.clone() }, events).await;
    source
}

/// The horizon of one store says nothing about another, which may end long before it.
#[tokio::test]
async fn processors_on_different_stores_do_not_share_a_horizon() {
    let (long, short) = (store_with(50).await, store_with(5).await);
    let filter = es::EventFilter::default().with_event_types(["Happened"]);
    let recorder = |name| {
        let recorder = Recorder::new(Arc::new(MemoryHarness), name);
        recorder.with_filter(filter.clone())
    };
    let processor = |source: &MemoryStore, name| {
        Processor::new(Arc::new(source.clone())).with_projection(recorder(name))
    };
    let (on_long, on_short) = (processor(&long, "long"), processor(&short, "short"));
    let both = async || {
        let stop = CancellationToken::new();
        let (one, other) =
            (on_long.run_until_caught_up(stop.clone()), on_short.run_until_caught_up(stop));
        let (one, other) = futures_util::future::join(one, other).await;
        one.and(other).expect("they catch up");
    };
    both().await;
    append_numbers(&Fixture { harness: MemoryHarness, source: short.clone() }, 20).await;
    both().await;
    assert_eq!(long.connect().rows("long").expect("rows").len(), 50);
    assert_eq!(short.connect().rows("short").expect("rows").len(), 25);
}

/// Its handler fails, and what is to become of the event is a panic.
struct Panics;

impl Projection for Panics {
    type Connection = MemoryConnection;

    fn name(&self) -> &ProjectionName {
        static NAME: ProjectionName = ProjectionName::from_static("panics");
        &NAME
    }

    fn failure_policy(&self) -> FailurePolicy {
        panic!("no policy")
    }

    async fn handle(
        &self,
        _conn: &mut MemoryConnection,
        _event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        Err("it fails".into())
    }
}

/// Whether it runs in the processor's own future or in a task.
#[tokio::test]
async fn a_panic_outside_the_handler_is_an_error_that_names_the_partition() {
    for total in [1, 2].map(PartitionCount::of) {
        let store = store_with(20).await;
        let processor = Processor::new(Arc::new(store))
            .with_projection(Panics)
            .with_assigned(Partition::split(total));
        let error = processor.run(CancellationToken::new()).await.expect_err("it panics");
        let ProcessorError::Panicked { projection, partition, message } = error else {
            panic!("{error:?}")
        };
        assert_eq!((projection.as_str(), partition.total()), ("panics", total));
        assert_eq!(message, "no policy");
    }
}

/// A processor that is told nothing does nothing until it is stopped: a process that runs one does
/// not end as if its work were done.
#[tokio::test(start_paused = true)]
async fn a_processor_that_is_told_no_partition_waits_to_be_stopped() {
    let recorder = Recorder::new(Arc::new(MemoryHarness), "p");
    let processor = Processor::new(Arc::new(MemoryStore::default())).with_projection(recorder);
    let processor = processor.with_assigned([]);
    let stop = CancellationToken::new();
    let day = std::time::Duration::from_hours(24);
    let early = tokio::time::timeout(day, processor.run(stop.clone())).await;
    assert!(early.is_err(), "{early:?}");
    stop.cancel();
    processor.run(stop.clone()).await.expect("it was stopped");
    processor.run_until_caught_up(stop).await.expect("there is nothing to do");
}
