//! Clauses about handlers, databases and checkpoints that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use es::adapter::{CheckpointMove, CheckpointStore};
use es::conformance::{Conn, Harness};
use es::{
    CheckpointError, EventFilter, EventSource, Partition, PartitionCount, PersistedEvent, Position,
    ProjectionName, StoreError, TransactionState,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::fixture::{Recorder, Stage, append_numbers, batch, options};
use super::polls::Polls;
use super::{CommitFault, Faulty};
use crate::{
    BatchContext, EventContext, HandlerError, Processor, ProcessorError, Projection,
    ProjectionOptions,
};

/// A recorder that fails on some events, after it has written their rows.
struct Failing<H> {
    recorder: Recorder<H>,
    fails: Box<dyn Fn(i64) -> Result<(), HandlerError> + Send + Sync>,
    in_batches: bool,
}

impl<H: Harness> Projection for Failing<H> {
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
        self.recorder.record(conn, event).await?;
        (self.fails)(event.payload_json()?)
    }

    async fn handle_batch(
        &self,
        conn: &mut Conn<H>,
        events: &[PersistedEvent],
        _context: &BatchContext,
    ) -> Result<(), HandlerError> {
        for event in events {
            self.recorder.record(conn, event).await?;
            if !self.in_batches {
                (self.fails)(event.payload_json()?)?;
            }
        }
        if self.in_batches {
            for event in events {
                (self.fails)(event.payload_json()?)?;
            }
        }
        Ok(())
    }
}

/// The events before the one that fails are committed; the error names it; a better handler goes
/// on from there, and every effect is there once.
pub async fn a_failing_handler_keeps_the_good_prefix_and_names_the_event<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    keeps_the_good_prefix(harness, false).await;
}

/// The same where one statement does the work of the batch and does not say which event failed.
pub async fn a_failing_batch_handler_keeps_the_good_prefix<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    keeps_the_good_prefix(harness, true).await;
}

async fn keeps_the_good_prefix<H: Harness>(harness: H, in_batches: bool)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 12).await;
    let log = stage.store.log().await;
    let poison = log[9].position();
    let fails = |number| {
        if number == 9 { Err("it is poison".into()) } else { Ok(()) }
    };
    let recorder = Recorder::new(Arc::clone(&stage.harness), "p");
    let failing = Arc::new(Failing { recorder, fails: Box::new(fails), in_batches });
    for _ in 0..2 {
        let processor = stage.processor(&failing);
        let error = processor.run(CancellationToken::new()).await.expect_err("the handler fails");
        let ProcessorError::Handler { projection, partition, position, event_type, source } =
            &error
        else {
            panic!("{error:?}")
        };
        assert_eq!((projection.as_str(), *partition, *position), ("p", Partition::ALL, poison));
        assert_eq!(event_type, "Happened");
        assert_eq!(source.to_string(), "it is poison");
        let text = error.to_string();
        assert!(text.contains("projection p, partition 0/1"), "{text}");
        assert!(text.contains(&format!("event {poison} (Happened)")), "{text}");
        assert_eq!(stage.handled("p").await.len(), 9, "the good prefix is there, once");
        assert_eq!(stage.checkpoint("p", Partition::ALL).await, log[8].position());
    }
    let better = stage.processor(&stage.recorder("p"));
    better.run_until_caught_up(CancellationToken::new()).await.expect("the rest is handled");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

fn retryable() -> HandlerError {
    let source = "a deadlock".into();
    StoreError::Retryable { transaction: TransactionState::MustRollBack, source }.into()
}

/// An error that is the database's doing is tried again, and its effects are there once.
pub async fn a_retryable_error_is_not_the_events_fault<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 10).await;
    let failures = AtomicUsize::new(0);
    let fails = move |number| match number {
        4 if failures.fetch_add(1, Ordering::Relaxed) < 3 => Err(retryable()),
        _ => Ok(()),
    };
    let recorder = Recorder::new(Arc::clone(&stage.harness), "p");
    let failing = Arc::new(Failing { recorder, fails: Box::new(fails), in_batches: false });
    let processor = stage.processor(&failing);
    processor.run_until_caught_up(CancellationToken::new()).await.expect("the fourth time");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// An event at which the database never stops asking for another attempt ends a processor's run.
pub async fn retries_have_an_end<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 3).await;
    let recorder = Recorder::new(Arc::clone(&stage.harness), "p");
    let fails = Box::new(|_| Err(retryable()));
    let failing = Arc::new(Failing { recorder, fails, in_batches: false });
    let processor = stage.processor_with(&failing, options().with_attempts_max(batch(3)));
    let error = processor.run(CancellationToken::new()).await.expect_err("it gives up");
    assert!(matches!(error, ProcessorError::RetriesExhausted { attempts: 3, .. }), "{error:?}");
    assert!(stage.handled("p").await.is_empty());
}

/// Whichever commit fails, and on whichever side of it: registration, batches, the last save.
pub async fn a_commit_of_unknown_outcome_repeats_nothing_and_loses_nothing<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 20).await;
    let end = stage.store.log().await[19].position();
    for fault in [CommitFault::LostBefore, CommitFault::LostAfter] {
        for (commits_before, is_told) in (0..6).flat_map(|count| [(count, true), (count, false)]) {
            let name = format!("{fault:?}{commits_before}{is_told}");
            let source = Faulty::new(stage.store.source.clone(), fault, commits_before);
            let options = ProjectionOptions::default().with_batch_size_max(batch(6));
            let mut processor = Processor::new(Arc::new(source))
                .with_projection_options(stage.recorder(&name), options);
            if is_told {
                processor = processor.with_assigned([Partition::ALL]);
            }
            processor.run_until_caught_up(CancellationToken::new()).await.expect("it goes on");
            stage.assert_handled_once(&name, &EventFilter::default()).await;
            assert_eq!(stage.checkpoint(&name, Partition::ALL).await, end, "{name}");
        }
    }
}

/// What a processor has passed without handling is not read again after a shutdown.
pub async fn a_shutdown_saves_how_far_it_came<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 5).await;
    let end = stage.store.log().await[4].position();
    let filter = EventFilter::default().with_bounded_contexts(["Nowhere"]);
    let recorder = Recorder::new(Arc::clone(&stage.harness), "p").with_filter(filter);
    let source = Arc::new(Polls::new(stage.store.source.clone()));
    let processor = Processor::new(Arc::clone(&source))
        .with_projection(recorder)
        .with_assigned([Partition::ALL]);
    let shutdown = CancellationToken::new();
    let stop = async {
        source.wait_for(5).await;
        shutdown.cancel();
    };
    let (ended, ()) = futures_util::future::join(processor.run(shutdown.clone()), stop).await;
    ended.expect("a shutdown is no error");
    assert_eq!(stage.checkpoint("p", Partition::ALL).await, end);
}

/// A recorder that stops inside a batch until it is told to go on.
struct Pausing<H> {
    recorder: Recorder<H>,
    pause_at: i64,
    entered: Notify,
    leave: Notify,
}

impl<H: Harness> Pausing<H> {
    fn new(harness: &Arc<H>, pause_at: i64) -> Arc<Self> {
        let recorder = Recorder::new(Arc::clone(harness), "p");
        let (entered, leave) = (Notify::new(), Notify::new());
        Arc::new(Pausing { recorder, pause_at, entered, leave })
    }
}

impl<H: Harness> Projection for Pausing<H> {
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
        self.recorder.record(conn, event).await?;
        if event.payload_json::<i64>()? == self.pause_at {
            self.entered.notify_one();
            self.leave.notified().await;
        }
        Ok(())
    }
}

/// Dropping the future in the middle of a batch rolls it back.
pub async fn a_dropped_run_leaves_nothing_half_done<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 10).await;
    let pausing = Pausing::new(&stage.harness, 4);
    let processor = stage.processor(&pausing);
    tokio::select! {
        ended = processor.run(CancellationToken::new()) => panic!("it waits: {ended:?}"),
        () = pausing.entered.notified() => {}
    }
    assert!(stage.handled("p").await.is_empty());
    assert_eq!(stage.checkpoint("p", Partition::ALL).await, Position::START);
    let again = stage.processor(&stage.recorder("p"));
    again.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    stage.assert_handled_once("p", &EventFilter::default()).await;
}

/// A shutdown in the middle of a batch lets it finish, and no further one begins.
pub async fn a_shutdown_lets_the_batch_finish<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 30).await;
    let pausing = Pausing::new(&stage.harness, 9);
    let processor = stage.processor_with(&pausing, options().with_batch_size_max(batch(7)));
    let shutdown = CancellationToken::new();
    let stop = async {
        pausing.entered.notified().await;
        shutdown.cancel();
        pausing.leave.notify_one();
    };
    let (ended, ()) = futures_util::future::join(processor.run(shutdown.clone()), stop).await;
    ended.expect("a shutdown is no error");
    assert_eq!(stage.handled("p").await.len(), 14, "two batches of seven");
}

async fn force_checkpoint<H: Harness>(stage: &Stage<H>, to: impl Fn(Position) -> Position) {
    let (name, store) = (ProjectionName::new("p").expect("a valid name"), stage.source.store());
    let mut tx = stage.source.begin().await.expect("a transaction");
    let from = store.lock_checkpoint(&mut tx, &name, Partition::ALL).await.expect("it is there");
    let (from, epoch) = (from.position, from.epoch);
    let to = CheckpointMove { epoch, from, to: to(from), lease: None };
    let moved = store.save_checkpoint(&mut tx, &name, Partition::ALL, to).await;
    moved.expect("it is where it was");
    stage.source.commit(tx).await.expect("the transaction commits");
}

/// A checkpoint edited to lie past the end of the log would skip what is appended next.
pub async fn a_checkpoint_beyond_the_log_is_refused<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 3).await;
    let processor = stage.processor(&stage.recorder("p"));
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    force_checkpoint(&stage, |from| from.saturating_add(1000)).await;
    let error = processor.run(CancellationToken::new()).await.expect_err("beyond the log");
    assert!(matches!(error, ProcessorError::CheckpointBeyondLog { .. }), "{error:?}");
}

/// A checkpoint set back while the processor runs would repeat what is already applied.
pub async fn a_checkpoint_that_went_back_stops_the_processor<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 14).await;
    let pausing = Pausing::new(&stage.harness, -1);
    let processor = stage.processor(&pausing);
    let meddle = async {
        while stage.handled("p").await.len() < 14 {
            tokio::task::yield_now().await;
        }
        force_checkpoint(&stage, |_| Position::from(1)).await;
        append_numbers(&stage.store, 1).await;
    };
    let run = processor.run(CancellationToken::new());
    let (ended, ()) = futures_util::future::join(run, meddle).await;
    let error = ended.expect_err("the checkpoint went back");
    assert!(matches!(error, ProcessorError::CheckpointWentBack { .. }), "{error:?}");
    assert_eq!(stage.handled("p").await.len(), 14, "nothing was applied twice");
}

/// A processor started with another number of partitions handles nothing.
pub async fn another_partition_count_stops_the_processor<H: Harness>(harness: H)
where
    H::Source: Clone,
{
    let stage = Stage::new(harness).await;
    append_numbers(&stage.store, 3).await;
    let recorder = stage.recorder("p");
    let whole = stage.processor(&recorder);
    whole.run_until_caught_up(CancellationToken::new()).await.expect("it catches up");
    let second = Partition::new(1, PartitionCount::of(2)).expect("valid");
    let part = stage.processor(&recorder).with_assigned([second]);
    let error = part.run(CancellationToken::new()).await.expect_err("another count");
    let ProcessorError::Checkpoint(CheckpointError::PartitionCount { stored, asked, .. }) = error
    else {
        panic!("{error:?}")
    };
    assert_eq!((stored.get(), asked.get()), (1, 2));
    stage.assert_handled_once("p", &EventFilter::default()).await;
}
