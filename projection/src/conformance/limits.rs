//! Clauses about limits in bytes, and about a log that is held back.

use std::sync::{Arc, Mutex};

use es::conformance::Harness;
use es::{Event, EventFilter, ExpectedVersion, ProjectionName, StreamId};
use tokio_util::sync::CancellationToken;

use super::fixture::{Recorder, Stage, append_numbers, batch, options};
use super::handling::BatchSizes;

/// A batch has one event more than fit in its limit in bytes, at most, and nothing is missed.
pub async fn a_batch_ends_at_its_limit_in_bytes<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    for number in 0..20 {
        let stream = format!("stream-{number}");
        let stream = StreamId::new("Test", "Thing", stream).expect("a valid name");
        let event = Event::new("Large", vec![b'x'; 10_000]).expect("valid");
        stage.store.append(&stream, &[event]).await;
    }
    let batches = Arc::new(BatchSizes {
        recorder: Recorder::new(Arc::clone(&stage.harness), "p"),
        sizes: Mutex::default(),
    });
    let processor = stage.processor_with(
        &batches,
        options().with_batch_size_max(batch(100)).with_batch_bytes_max(25_000),
    );
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    let sizes = batches.sizes.lock().expect("no panic").clone();
    assert!(sizes.iter().all(|size| *size <= 3), "{sizes:?}");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// A transaction that has appended and stays open holds the log back: the lag says so, and the
/// status names who does it.
pub async fn a_log_that_is_held_back_is_not_healthy<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 5).await;
    let stream = |id: &str| StreamId::new("Test", "Thing", id).expect("a valid name");
    let event = || [Event::json("Happened", &1).expect("valid")];
    let mut open = stage.store.begin().await;
    let (first, events) = (stream("open"), event());
    let appended = stage.store.append_in(&mut open, &first, ExpectedVersion::Any, &events).await;
    appended.expect("it is appended");
    for number in 0..3 {
        stage.store.append(&stream(&format!("later-{number}")), &event()).await;
    }
    let processor = stage.processor(&stage.recorder("p"));
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    let p = ProjectionName::new("p").expect("a valid name");
    let status = stage.operator().status_of(&p).await.expect("the status");
    let partition = &status.partitions[0];
    assert!(partition.lag >= 3, "{status:?}");
    assert_eq!(partition.held_back, partition.lag, "{status:?}");
    assert!(!status.horizon.held_by.is_empty(), "{status:?}");
    let lag = stage.operator().lag(&p).await.expect("the lag")[0];
    assert_eq!((lag.positions(), lag.held_positions()), (partition.lag, partition.lag));
    stage.store.commit(open).await;
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    let lag = stage.operator().lag(&p).await.expect("the lag")[0];
    assert_eq!((lag.positions(), lag.held_positions()), (0, 0));
}
