//! Clauses about what an operator does while workers run.

use std::sync::Arc;
use std::time::Duration;

use es::conformance::{Conn, Harness};
use es::{Event, EventFilter, PartitionCount, PersistedEvent, Position, ProjectionName, StreamId};
use futures_util::future::join;
use tokio_util::sync::CancellationToken;

use super::fixture::{Recorder, Stage, append_numbers};
use crate::operator::{Rescaled, ResetTo};
use crate::{EventContext, HandlerError, OperatorError, Processor, Projection, ProjectionOptions};

const PATIENCE: Duration = Duration::from_mins(1);

/// Writes what comes for the first time under one name and what is replayed under another.
struct Replaying<H> {
    recorder: Recorder<H>,
    replayed: Recorder<H>,
}

impl<H: Harness> Replaying<H> {
    fn new(stage: &Stage<H>) -> Arc<Self> {
        let recorder = |name| Recorder::new(Arc::clone(&stage.harness), name);
        Arc::new(Replaying { recorder: recorder("p"), replayed: recorder("replayed") })
    }
}

impl<H: Harness> Projection for Replaying<H> {
    type Connection = Conn<H>;

    fn name(&self) -> &ProjectionName {
        self.recorder.name()
    }

    async fn handle(
        &self,
        conn: &mut Conn<H>,
        event: &PersistedEvent,
        context: &EventContext,
    ) -> Result<(), HandlerError> {
        let recorder = if context.replaying { &self.replayed } else { &self.recorder };
        recorder.record(conn, event).await
    }
}

impl<H: Harness> Stage<H>
where
    H::Source: Clone,
{
    fn elastic<P: Projection<Connection = Conn<H>>>(
        &self,
        projection: &Arc<P>,
    ) -> Processor<H::Source> {
        let options = ProjectionOptions::default()
            .with_partitions(PartitionCount::of(2))
            .with_poll_interval_max(Duration::from_millis(10));
        Processor::new(Arc::clone(&self.source))
            .with_lease(Duration::from_secs(30))
            .with_poll_interval(Duration::from_millis(30))
            .with_projection_options(Arc::clone(projection), options)
    }

    async fn wait_until_all_is_handled(&self, name: &ProjectionName) {
        let log = self.store.log().await;
        let end = log.last().expect("there are events").position();
        self.operator().wait_for(name, end, PATIENCE).await.expect("it is handled");
    }
}

/// Nothing is handled from the commit of the pause to that of its end, and nothing is lost.
pub async fn a_paused_projection_handles_nothing_until_it_is_resumed<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let recorder = stage.recorder("p");
    let name = recorder.name();
    let unknown = stage.operator().pause(name).await;
    assert!(matches!(unknown, Err(OperatorError::UnknownProjection { .. })), "{unknown:?}");
    let worker = stage.elastic(&recorder);
    let stop = CancellationToken::new();
    let play = async {
        append_numbers(&stage.store, 10).await;
        stage.wait_until_all_is_handled(name).await;
        stage.operator().pause(name).await.expect("it is paused");
        append_numbers(&stage.store, 10).await;
        let end = stage.store.log().await[19].position();
        let short = Duration::from_millis(300);
        let waited = stage.operator().wait_for(name, end, short).await;
        assert!(matches!(waited, Err(OperatorError::TimedOut { .. })), "{waited:?}");
        assert_eq!(stage.handled("p").await.len(), 10);
        let status = stage.operator().status_of(name).await.expect("the status");
        assert!(status.state.is_paused && status.partitions.iter().all(|one| one.lag > 0));
        stage.operator().resume(name).await.expect("it is resumed");
        stage.wait_until_all_is_handled(name).await;
        stop.cancel();
    };
    let (ended, ()) = join(worker.run(stop.clone()), play).await;
    ended.expect("it stops when it is told to");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// A processor that was told its partition waits as well, and goes on by itself.
pub async fn a_paused_processor_goes_on_when_it_is_resumed<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let recorder = stage.recorder("p");
    let (name, processor) = (recorder.name(), stage.processor(&recorder));
    append_numbers(&stage.store, 5).await;
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    stage.operator().pause(name).await.expect("it is paused");
    append_numbers(&stage.store, 5).await;
    let stop = CancellationToken::new();
    let play = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(stage.handled("p").await.len(), 5);
        stage.operator().resume(name).await.expect("it is resumed");
        stage.wait_until_all_is_handled(name).await;
        stop.cancel();
    };
    let (ended, ()) = join(processor.run(stop.clone()), play).await;
    ended.expect("it stops when it is told to");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// Everything after the position comes again, marked as a replay, and what is new is not.
pub async fn a_reset_projection_replays_while_workers_run<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let replaying = Replaying::new(&stage);
    let name = replaying.name();
    let worker = stage.elastic(&replaying);
    let stop = CancellationToken::new();
    let reset = async |to| {
        let mut tx = stage.store.begin().await;
        let reset = stage.operator().reset_in(&mut tx, name, to).await;
        stage.store.commit(tx).await;
        reset
    };
    let play = async {
        append_numbers(&stage.store, 12).await;
        stage.wait_until_all_is_handled(name).await;
        let log = stage.store.log().await;
        let fifth = log[4].position();
        let to = reset(ResetTo::Position(fifth)).await.expect("reset");
        assert_eq!(to, fifth);
        append_numbers(&stage.store, 3).await;
        stage.wait_until_all_is_handled(name).await;
        assert_eq!(stage.handled("replayed").await.len(), 7);
        let sixth = ResetTo::Time(log[5].recorded_at().expect("it is read"));
        let to = reset(sixth).await.expect("reset");
        assert!(to <= fifth, "{to}: events may have one time");
        stage.wait_until_all_is_handled(name).await;
        stage.wait_until_rebuilt(name).await;
        let beyond = log[11].position().saturating_add(1_000_000);
        let error = reset(ResetTo::Position(beyond)).await.expect_err("it lies beyond the log");
        assert!(matches!(error, OperatorError::BeyondHorizon { .. }), "{error:?}");
        let says = error.to_string();
        assert!(says.contains("reset to a position up to the horizon"), "{says}");
        stop.cancel();
    };
    let (ended, ()) = join(worker.run(stop.clone()), play).await;
    ended.expect("it stops when it is told to");
    assert!(stage.handled("replayed").await.len() >= 7 + 10);
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

impl<H: Harness> Stage<H>
where
    H::Source: Clone,
{
    async fn wait_until_rebuilt(&self, name: &ProjectionName) {
        for _ in 0..1_000 {
            let status = self.operator().status_of(name).await.expect("the status");
            if status.rebuild().is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the rebuild does not end");
    }
}

/// A deleted projection is not made again by the worker that runs it.
pub async fn a_deleted_projection_stays_deleted_while_workers_run<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let recorder = stage.recorder("p");
    let name = recorder.name();
    let worker = stage.elastic(&recorder);
    let stop = CancellationToken::new();
    let play = async {
        append_numbers(&stage.store, 5).await;
        stage.wait_until_all_is_handled(name).await;
        for is_known in [true, false] {
            let mut tx = stage.store.begin().await;
            let deleted = stage.operator().delete_in(&mut tx, name).await;
            stage.store.commit(tx).await;
            match deleted {
                Ok(()) => assert!(is_known),
                Err(OperatorError::UnknownProjection { .. }) => assert!(!is_known),
                Err(error) => panic!("{error:?}"),
            }
        }
        append_numbers(&stage.store, 5).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(stage.operator().status().await.expect("the status").is_empty());
        stop.cancel();
    };
    let (ended, ()) = join(worker.run(stop.clone()), play).await;
    ended.expect("it stops when it is told to");
    assert_eq!(stage.handled("p").await.len(), 5);
}

/// In a transaction of the caller's, whatever an operator does is undone or done with it.
pub async fn what_an_operator_does_in_a_transaction_ends_with_it<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 5).await;
    let (recorder, operator) = (stage.recorder("p"), stage.operator());
    let name = recorder.name();
    let processor = stage.processor(&recorder);
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    let seen = async || {
        let status = stage.status_of(name).await?;
        let has_begun = status.partitions.iter().all(|one| one.state.position > Position::START);
        Some((status.state.is_paused, status.partitions.len(), has_begun))
    };
    for (is_committed, wanted) in [(false, (false, 1, true)), (true, (true, 2, false))] {
        let mut tx = stage.store.begin().await;
        operator.pause_in(&mut tx, name).await.expect("paused");
        operator.resume_in(&mut tx, name).await.expect("resumed");
        operator.pause_in(&mut tx, name).await.expect("paused again");
        let start = ResetTo::Position(Position::START);
        operator.reset_in(&mut tx, name, start).await.expect("reset");
        let rescaled =
            operator.rescale_in(&mut tx, name, PartitionCount::of(2)).await.expect("rescaled");
        assert_eq!(rescaled, Rescaled::Done);
        if is_committed {
            stage.store.commit(tx).await;
        } else {
            stage.store.rollback(tx).await;
        }
        assert_eq!(seen().await, Some(wanted));
    }
    let mut tx = stage.store.begin().await;
    operator.delete_in(&mut tx, name).await.expect("deleted");
    stage.store.rollback(tx).await;
    assert_eq!(seen().await, Some((true, 2, false)));
}

/// Read your own writes: by the whole projection, or by the partition of one stream.
pub async fn a_wait_ends_when_what_was_appended_is_handled<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    let recorder = stage.recorder("p");
    let name = recorder.name();
    let worker = stage.elastic(&recorder);
    let stop = CancellationToken::new();
    let play = async {
        for number in 0..10_u32 {
            let stream = StreamId::new("Test", "Thing", format!("{number}")).expect("valid");
            let event = Event::json("Happened", &number).expect("valid");
            let appended = stage.store.append(&stream, &[event]).await;
            let end = appended.last_position();
            let waited = stage.operator().wait_for_stream(name, &stream, end, PATIENCE).await;
            waited.expect("it is handled");
            assert_eq!(stage.handled("p").await.last(), Some(&end));
        }
        let unknown = ProjectionName::new("unknown").expect("a valid name");
        // As long as it may take to ask once.
        let short = Duration::from_secs(1);
        let waited = stage.operator().wait_for(&unknown, Position::START, short).await;
        assert!(matches!(waited, Err(OperatorError::UnknownProjection { .. })), "{waited:?}");
        stop.cancel();
    };
    let (ended, ()) = join(worker.run(stop.clone()), play).await;
    ended.expect("it stops when it is told to");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}
