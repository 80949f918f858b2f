//! Clauses about what is handled, and how far a checkpoint gets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use es::conformance::{Conn, Harness};
use es::{
    Event, EventFilter, EventSource, ExpectedVersion, Partition, PartitionCount, PersistedEvent,
    ProjectionName, StreamId,
};
use futures_util::future::join;
use tokio_util::sync::CancellationToken;

use super::fixture::{Recorder, Stage, append_numbers, append_stubbornly, batch, options};
use super::polls::Polls;
use crate::{BatchContext, EventContext, HandlerError, OperatorError, Processor, Projection};

/// One processor, one partition, several batches.
pub async fn every_event_is_handled_once_and_in_order<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 20).await;
    let processor = stage.processor(&stage.recorder("p"));
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    stage.assert_handled_once("p", &EventFilter::default()).await;
    let log = stage.store.log().await;
    let handled = stage.handled("p").await;
    assert!(handled.is_sorted(), "{handled:?}");
    assert_eq!(stage.checkpoint("p", Partition::ALL).await, log[19].position());
}

/// The next run loads the checkpoint, and another projection has its own.
pub async fn a_projection_goes_on_where_it_stopped<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    for round in 1..=3 {
        append_numbers(&stage.store, round * 3).await;
        let processor = stage.processor(&stage.recorder("p"));
        processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
        stage.assert_handled_once("p", &EventFilter::default()).await;
    }
    let late = stage.processor(&stage.recorder("late"));
    late.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    stage.assert_handled_once("late", &EventFilter::default()).await;
}

/// The checkpoint of a filtered projection reaches the end of the log all the same.
pub async fn a_filtered_projection_passes_what_is_not_for_it<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 9).await;
    let wanted = StreamId::new("Wanted", "Thing", "1").expect("a valid name");
    stage.store.append(&wanted, &[Event::json("Happened", &1).expect("valid")]).await;
    append_numbers(&stage.store, 9).await;

    let filter = EventFilter::default().with_bounded_contexts(["Wanted"]);
    let recorder = Recorder::new(Arc::clone(&stage.harness), "p").with_filter(filter.clone());
    let processor = stage.processor(&Arc::new(recorder));
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    stage.assert_handled_once("p", &filter).await;
    assert_eq!(stage.handled("p").await.len(), 1);
    let end = stage.store.log().await[18].position();
    assert_eq!(stage.checkpoint("p", Partition::ALL).await, end);
}

/// A processor that runs and is given nothing moves its checkpoint all the same, soon.
pub async fn a_quiet_projection_keeps_its_checkpoint_up<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 5).await;
    let end = stage.store.log().await[4].position();
    let filter = EventFilter::default().with_bounded_contexts(["Nowhere"]);
    let recorder = Recorder::new(Arc::clone(&stage.harness), "p").with_filter(filter);
    let processor = stage.processor(&Arc::new(recorder));
    let keeps_up = async {
        let name = ProjectionName::new("p").expect("a valid name");
        loop {
            let lag = match stage.operator().lag(&name).await {
                Err(OperatorError::UnknownProjection { .. }) => Vec::new(),
                lag => lag.expect("the lag"),
            };
            if lag.iter().any(|lag| lag.checkpoint == end) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        ended = processor.run(CancellationToken::new()) => panic!("it runs on: {ended:?}"),
        () = keeps_up => {}
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("the checkpoint stays behind"),
    }
}

/// Each partition handles its share; together they handle everything once.
pub async fn partitions_share_the_work<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 40).await;
    let partitions = Partition::split(PartitionCount::of(4));
    let processor = stage.processor(&stage.recorder("p")).with_assigned(partitions.clone());
    processor.run_until_caught_up(CancellationToken::new()).await.expect("they catch up");
    stage.assert_handled_once("p", &EventFilter::default()).await;
    let end = stage.store.log().await[39].position();
    for partition in partitions {
        assert_eq!(stage.checkpoint("p", partition).await, end, "partition {partition}");
    }
}

/// A processor that is told no partitions catches up with all of them, and claims none.
pub async fn catching_up_handles_all_partitions_and_claims_none<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 40).await;
    let new = options().with_partitions(PartitionCount::of(3));
    let processor = Processor::new(Arc::clone(&stage.source))
        .with_projection_options(stage.recorder("p"), new)
        .with_projection(stage.recorder("q"));
    for _ in 0..2 {
        processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
        for (name, partitions) in [("p", 3), ("q", 1)] {
            stage.assert_handled_once(name, &EventFilter::default()).await;
            let name = ProjectionName::new(name).expect("a valid name");
            let status = stage.operator().status_of(&name).await.expect("the status");
            assert_eq!(status.partitions.len(), partitions, "{name}");
            assert!(status.workers.is_empty(), "{name}");
            assert!(status.partitions.iter().all(|one| one.state.owner.is_none()), "{name}");
        }
        append_numbers(&stage.store, 10).await;
    }
}

pub(super) struct BatchSizes<H> {
    pub(super) recorder: Recorder<H>,
    pub(super) sizes: Mutex<Vec<usize>>,
}

impl<H: Harness> Projection for BatchSizes<H> {
    type Connection = Conn<H>;

    fn name(&self) -> &ProjectionName {
        self.recorder.name()
    }

    async fn handle(
        &self,
        conn: &mut Conn<H>,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        self.recorder.record(conn, event).await
    }

    async fn handle_batch(
        &self,
        conn: &mut Conn<H>,
        events: &[PersistedEvent],
        _context: &BatchContext,
    ) -> Result<(), HandlerError> {
        self.sizes.lock().expect("no panic while it is held").push(events.len());
        for event in events {
            self.recorder.record(conn, event).await?;
        }
        Ok(())
    }
}

/// A batch handler is given up to the batch size, and everything once.
pub async fn a_batch_is_no_larger_than_asked<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 20).await;
    let recorder = Recorder::new(Arc::clone(&stage.harness), "p");
    let projection = Arc::new(BatchSizes { recorder, sizes: Mutex::default() });
    let processor = stage.processor_with(&projection, options().with_batch_size_max(batch(6)));
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    stage.assert_handled_once("p", &EventFilter::default()).await;
    assert_eq!(*projection.sizes.lock().expect("no panic"), [6, 6, 6, 2]);
}

/// Lag is the distance from checkpoint to horizon.
pub async fn lag_counts_down_to_nothing<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let recorder = stage.recorder("p");
    let name = recorder.name();
    let unknown = stage.operator().lag(name).await;
    assert!(matches!(unknown, Err(OperatorError::UnknownProjection { .. })), "{unknown:?}");
    let processor = stage.processor(&recorder);
    processor.run_until_caught_up(CancellationToken::new()).await.expect("nothing to do");
    append_numbers(&stage.store, 6).await;
    let end = stage.store.log().await[5].position();
    for expected in [end.distance_from(es::Position::START), 0] {
        let lag = stage.operator().lag(name).await.expect("the lag");
        assert_eq!(lag.len(), 1);
        assert_eq!(lag[0].partition, Partition::ALL);
        assert_eq!(lag[0].positions(), expected);
        processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    }
}

/// Writers and processors run at the same time, and a shutdown loses nothing.
pub async fn events_appended_while_it_runs_are_handled<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let shutdown = CancellationToken::new();
    let whole = stage.processor(&stage.recorder("whole"));
    let parts = stage.processor(&stage.recorder("parts"));
    let parts = parts.with_assigned(Partition::split(PartitionCount::of(2)));
    let write = async {
        let writer = |writer: i64| {
            let store = &stage.store;
            async move {
                for number in 0..25 {
                    let stream = StreamId::new("Test", "Thing", format!("{}", number % 4));
                    let event = Event::json("Happened", &(writer * 100 + number));
                    let stream = stream.expect("a valid name");
                    append_stubbornly(store, &stream, event.expect("valid")).await;
                }
            }
        };
        join(writer(0), writer(1)).await;
        shutdown.cancel();
    };
    let both = join(whole.run(shutdown.clone()), parts.run(shutdown.clone()));
    let (ran, ()) = join(both, write).await;
    ran.0.and(ran.1).expect("they run until the shutdown");
    for rest in [whole, parts] {
        rest.run_until_caught_up(CancellationToken::new()).await.expect("the rest is handled");
    }
    assert_eq!(stage.store.log().await.len(), 50);
    stage.assert_handled_once("whole", &EventFilter::default()).await;
    stage.assert_handled_once("parts", &EventFilter::default()).await;
}

/// Capability `concurrent_appenders`: a processor that keeps looking while a transaction with the
/// first position is open passes nothing, whether it reads everything, a filtered part or a
/// partition; and it misses nothing when that transaction commits.
pub async fn an_event_that_commits_late_is_handled<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let source = stage.store.source.clone();
    late_commit(&stage, source).await;
}

/// The clause above over a source that `break_horizon` has changed: it must panic if the change
/// lets a reader past what can still appear.
pub async fn late_commit_over<H: Harness, S>(harness: H, break_horizon: impl Fn(H::Source) -> S)
where
    H::Source: Clone,
    S: EventSource<Connection = Conn<H>>,
{
    let stage = Stage::new(harness).await;
    let source = break_horizon(stage.store.source.clone());
    late_commit(&stage, source).await;
}

async fn late_commit<H: Harness, S>(stage: &Stage<H>, source: S)
where
    H::Source: Clone,
    S: EventSource<Connection = Conn<H>>,
{
    let source = Arc::new(Polls::new(source));
    let filter = EventFilter::default().with_event_types(["Happened"]);
    let filtered = Recorder::new(Arc::clone(&stage.harness), "filtered").with_filter(filter);
    let whole = Processor::new(Arc::clone(&source))
        .with_projection(stage.recorder("whole"))
        .with_projection(filtered)
        .with_assigned([Partition::ALL]);
    let parts = Processor::new(Arc::clone(&source))
        .with_projection(stage.recorder("parts"))
        .with_assigned(Partition::split(PartitionCount::of(2)));
    let names = ["whole", "filtered", "parts"];

    let stream = StreamId::new("Test", "Thing", "late").expect("a valid name");
    let event = Event::json("Happened", &1).expect("valid");
    let mut late = stage.store.begin().await;
    let appended = stage.store.append_in(&mut late, &stream, ExpectedVersion::Any, &[event]).await;
    appended.expect("appended");
    append_numbers(&stage.store, 10).await;

    let shutdown = CancellationToken::new();
    let schedule = async {
        source.wait_for(60).await;
        for name in names {
            assert!(stage.handled(name).await.is_empty(), "{name}: position 1 may still appear");
        }
        stage.store.commit(late).await;
        for name in names {
            while stage.handled(name).await.len() < 11 {
                source.wait_for(1).await;
            }
        }
        shutdown.cancel();
    };
    let both = join(whole.run(shutdown.clone()), parts.run(shutdown.clone()));
    let (ran, ()) = join(both, schedule).await;
    ran.0.and(ran.1).expect("they run until the shutdown");
    for name in names {
        stage.assert_handled_once(name, &EventFilter::default()).await;
    }
}
