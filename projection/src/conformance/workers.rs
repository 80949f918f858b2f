//! Clauses about several workers: on one partition by mistake, and in one process.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use es::conformance::{Conn, Harness};
use es::{EventFilter, EventSource, Partition, PartitionCount, PersistedEvent, ProjectionName};
use futures_util::future::{join, join_all};
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

use super::Rendezvous;
use super::fixture::{Recorder, Stage, append_numbers, batch, options};
use crate::{
    EventContext, HandlerError, HandlerPanicked, Processor, ProcessorError, Projection,
    ProjectionOptions,
};

/// Both processors have read the same first batch before either begins to handle it. One
/// commits; the fence must keep the other's effects out.
pub async fn two_processors_on_one_partition_handle_every_event_once<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 20).await;
    let sources = || stage.store.source.clone();
    race_on_one_partition(&stage, sources(), sources()).await;
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// A recorder that also counts how often its handler is called.
struct Counting<H> {
    recorder: Recorder<H>,
    calls: AtomicUsize,
}

impl<H: Harness> Projection for Counting<H> {
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
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.recorder.record(conn, event).await
    }
}

async fn race_on_one_partition<H: Harness, S>(stage: &Stage<H>, first: S, second: S)
where
    S: EventSource<Connection = Conn<H>>,
{
    let barrier = Arc::new(Barrier::new(2));
    let recorder = Recorder::new(Arc::clone(&stage.harness), "p");
    let counting = Arc::new(Counting { recorder, calls: AtomicUsize::new(0) });
    let run = |source| {
        let source = Rendezvous::new(source, Arc::clone(&barrier));
        let options = ProjectionOptions::default().with_batch_size_max(batch(6));
        let processor = Processor::new(Arc::new(source))
            .with_projection_options(Arc::clone(&counting), options)
            .with_assigned([Partition::ALL]);
        async move {
            processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
        }
    };
    join(run(first), run(second)).await;
    // The loser looks at the checkpoint before it calls the handler, for effects elsewhere.
    assert_eq!(counting.calls.load(Ordering::Relaxed), 20, "every event once, none twice");
}

/// Runs two processors over sources that `break_fence` has changed, and checks that every event
/// was handled once: it must panic if the change lets a stale checkpoint through.
pub async fn two_processors_over<H: Harness, S>(harness: H, break_fence: impl Fn(H::Source) -> S)
where
    H::Source: Clone,
    S: EventSource<Connection = Conn<H>>,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 20).await;
    let sources = || break_fence(stage.store.source.clone());
    race_on_one_partition(&stage, sources(), sources()).await;
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// Four processors race on one partition over many small batches.
pub async fn many_processors_on_one_partition_handle_every_event_once<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 60).await;
    let recorder = stage.recorder("p");
    let run = |_| {
        let processor = stage.processor_with(&recorder, options().with_batch_size_max(batch(3)));
        async move {
            processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
        }
    };
    join_all((0..4).map(run)).await;
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// Fails or panics at the first event.
struct Broken<C> {
    panics: bool,
    connection: PhantomData<fn(C)>,
}

impl<C: Send + 'static> Projection for Broken<C> {
    type Connection = C;

    fn name(&self) -> &ProjectionName {
        static NAME: ProjectionName = ProjectionName::from_static("broken");
        &NAME
    }

    async fn handle(
        &self,
        _conn: &mut C,
        _event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        assert!(!self.panics, "this handler panics");
        Err("this handler fails".into())
    }
}

/// The others stop as well, and what they handled is whole.
pub async fn a_failure_stops_the_whole_processor<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let error = run_with_broken(harness, false).await;
    assert!(matches!(error, ProcessorError::Handler { .. }), "{error:?}");
    assert!(error.to_string().contains("projection broken"), "{error}");
}

/// A panic is contained, is the handler's failure on an event, and stops the others.
pub async fn a_panic_stops_the_whole_processor<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let error = run_with_broken(harness, true).await;
    let ProcessorError::Handler { projection, source, .. } = error else { panic!("{error:?}") };
    assert_eq!(projection.as_str(), "broken");
    let panicked: &HandlerPanicked = source.downcast_ref().expect("a panic");
    assert_eq!(panicked.message, "this handler panics");
}

async fn run_with_broken<H: Harness>(harness: H, panics: bool) -> ProcessorError
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 20).await;
    let recorder = Recorder::new(Arc::clone(&stage.harness), "good");
    let broken = Broken { panics, connection: PhantomData };
    let processor = Processor::new(Arc::clone(&stage.source))
        .with_projection(recorder)
        .with_projection(broken)
        .with_assigned(Partition::split(PartitionCount::of(2)));
    let error = processor.run(CancellationToken::new()).await.expect_err("one is broken");
    let repaired = Processor::new(Arc::clone(&stage.source))
        .with_projection(stage.recorder("good"))
        .with_projection(stage.recorder("broken"))
        .with_assigned(Partition::split(PartitionCount::of(2)));
    repaired.run_until_caught_up(CancellationToken::new()).await.expect("they catch up");
    stage.assert_handled_once("good", &EventFilter::default()).await;
    stage.assert_handled_once("broken", &EventFilter::default()).await;
    error
}
