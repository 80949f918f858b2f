//! A runner whose processors work on different stores.

use std::sync::Arc;

use es::conformance::{Fixture, MemoryHarness};
use es::memory::MemoryStore;
use projection::conformance::{Recorder, append_numbers};
use projection::{Processor, Runner};
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
        Arc::new(recorder.with_filter(filter.clone()))
    };
    let runner = Runner::new(Arc::new(long.clone()))
        .with_processor(Processor::new(Arc::new(long.clone()), recorder("long")))
        .with_processor(Processor::new(Arc::new(short.clone()), recorder("short")));
    runner.run_until_caught_up(CancellationToken::new()).await.expect("they catch up");
    append_numbers(&Fixture { harness: MemoryHarness, source: short.clone() }, 20).await;
    runner.run_until_caught_up(CancellationToken::new()).await.expect("they catch up");
    assert_eq!(long.connect().rows("long").expect("rows").len(), 50);
    assert_eq!(short.connect().rows("short").expect("rows").len(), 25);
}
