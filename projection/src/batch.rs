//! What a run does with a batch: handle it, try again, park.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::error::Error;
use std::future::pending;
use std::panic::AssertUnwindSafe;

use es::{
    Checkpoint, CheckpointError, CheckpointMove, CheckpointStore, DeadLetter, EventBatch,
    EventSource, PersistedEvent, Position, ProjectionStore, StoreError, StreamId,
};
use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::policy::Verdict;
use crate::run::{Hold, Retry, Run, Setback};
use crate::{BatchContext, HandlerError, HandlerPanicked, ProcessorError, Projection, observe};

/// The longest text of an error that is stored, in characters.
const ERROR_CHARS_MAX: usize = 2_000;

/// Why a transaction with a batch did not commit.
pub(super) enum BatchError {
    /// The handler failed, on one of the events.
    Handler(HandlerError),
    /// Anything else.
    Setback(Setback),
}

impl BatchError {
    /// What the handler has done can make the statements behind it fail: a deferred constraint, or
    /// an error of the server that it hid. It is the handler's doing, then.
    fn after_handler(setback: Setback) -> BatchError {
        match setback {
            Setback::Stop(ProcessorError::Store {
                source: source @ StoreError::Database { .. },
                ..
            }) => BatchError::Handler(source.into()),
            setback => BatchError::Setback(setback),
        }
    }

    /// What it means where no event was handled.
    pub(super) fn without_event(self) -> Setback {
        match self {
            BatchError::Setback(setback) => setback,
            BatchError::Handler(source) => Setback::Retry(Retry { source, position: None }),
        }
    }
}

impl From<Setback> for BatchError {
    fn from(setback: Setback) -> Self {
        BatchError::Setback(setback)
    }
}

impl<S, P> Run<'_, S, P>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    /// Handles a batch in one transaction; if the handler fails, event by event, so that the good
    /// ones are kept and the bad one is named.
    pub(super) async fn handle(&mut self, batch: EventBatch) -> Result<(), Setback> {
        let EventBatch { events, complete_through } = batch;
        let failing = self.failing.filter(|(position, _)| *position <= complete_through);
        if failing.is_none() {
            match self.commit_handled(&events, complete_through, 1).await {
                Ok(()) => return Ok(()),
                Err(BatchError::Setback(setback)) => return Err(setback),
                Err(BatchError::Handler(error)) => {
                    debug!(error = &*error, events = events.len(), "going on event by event");
                }
            }
        }
        for event in &events {
            self.handle_one(event).await?;
            if self.reached < event.position() {
                // Told to stop in between.
                return Ok(());
            }
        }
        // Behind the last event there is nothing for this run.
        self.reached = complete_through;
        Ok(())
    }

    /// Handles an event as often as the policy says, and then does with it what the policy says.
    async fn handle_one(&mut self, event: &PersistedEvent) -> Result<(), Setback> {
        let position = event.position();
        loop {
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            let failures = self.failing.filter(|(at, _)| *at == position).map_or(0, |(_, n)| n);
            let attempt = failures.saturating_add(1);
            let one = std::slice::from_ref(event);
            let source = match self.commit_handled(one, position, attempt).await {
                Ok(()) => return Ok(()),
                Err(BatchError::Setback(setback)) => return Err(setback),
                Err(BatchError::Handler(source)) => source,
            };
            if self.processor.source.cause(&*source) > Some(es::Cause::Statement) {
                return Err(Setback::Retry(Retry { source, position: Some(position) }));
            }
            self.failing = Some((position, attempt));
            observe::failed(&self.name);
            match self.processor.projection.failure_policy().judge(attempt, fastrand::f64()) {
                Verdict::RetryAfter(delay) => {
                    info!(
                        position = position.get(),
                        event_type = event.event_type(),
                        attempt,
                        ?delay,
                        error = &*source,
                        "the handler failed"
                    );
                    self.record_failure(position, attempt, &*source).await;
                    self.sleep(delay, pending()).await?;
                }
                Verdict::Park => return self.park(event, attempt, &*source).await,
                Verdict::Stop => {
                    self.record_failure(position, attempt, &*source).await;
                    return Err(self.cannot_handle(event, source));
                }
            }
        }
    }

    /// Handles `events` and moves the checkpoint to `through`, in one transaction.
    pub(super) async fn commit_handled(
        &mut self,
        events: &[PersistedEvent],
        through: Position,
        attempt: u32,
    ) -> Result<(), BatchError> {
        let started = Instant::now();
        let source = &*self.processor.source;
        let mut tx = source.begin().await.map_err(|error| self.store(error))?;
        if let Err(error) = self.handle_in(&mut tx, events, through, attempt).await {
            self.roll_back(tx).await;
            return Err(error);
        }
        if let Err(error) = source.commit(tx).await {
            let setback = self.store(error);
            return Err(if events.is_empty() {
                setback.into()
            } else {
                BatchError::after_handler(setback)
            });
        }
        debug!(
            events = events.len(),
            from = self.saved.get(),
            through = through.get(),
            "committed"
        );
        if !events.is_empty() {
            observe::handled(&self.name, events.len(), started.elapsed());
        }
        self.moved_to(through, started);
        Ok(())
    }

    async fn handle_in(
        &self,
        tx: &mut S::Transaction,
        events: &[PersistedEvent],
        through: Position,
        attempt: u32,
    ) -> Result<(), BatchError> {
        let source = &*self.processor.source;
        let locked = self.lock_mine(tx).await?;
        let mut events = Cow::Borrowed(events);
        if locked.has_dead_letters && !events.is_empty() {
            events = self.queue_behind_dead_letters(tx, events).await?;
        }
        if !events.is_empty() {
            let context = BatchContext::new(self.partition, attempt, self.replay_until);
            let projection = &self.processor.projection;
            let handled = async { projection.handle_batch(tx, &events, &context).await };
            contained(handled).await.map_err(BatchError::Handler)?;
            source.check_open(tx).await.map_err(|error| self.store(error))?;
            let saved = self.save(tx, through).await;
            return saved.map_err(BatchError::after_handler);
        }
        Ok(self.save(tx, through).await?)
    }

    /// Locks the checkpoint and checks that it is where this run left it, and still this run's.
    async fn lock_mine(&self, tx: &mut S::Transaction) -> Result<Checkpoint, Setback> {
        let store = self.processor.source.store();
        let locked = store.lock_checkpoint(tx, &self.name, self.partition).await;
        let locked = locked.map_err(|error| self.checkpoint(error))?;
        if locked.epoch != self.epoch && self.hold != Hold::Assigned {
            return Err(Setback::Lost);
        }
        let is_paused_now = locked.is_paused && !self.is_paused;
        if (locked.epoch, locked.position) != (self.epoch, self.saved) || is_paused_now {
            let (projection, partition) = (self.name.clone(), self.partition);
            let stale = CheckpointError::Stale { projection, partition, expected: self.saved };
            return Err(self.checkpoint(stale));
        }
        Ok(locked)
    }

    /// Puts the events of streams that have dead letters behind those, and gives the others.
    async fn queue_behind_dead_letters<'e>(
        &self,
        tx: &mut S::Transaction,
        events: Cow<'e, [PersistedEvent]>,
    ) -> Result<Cow<'e, [PersistedEvent]>, Setback> {
        let store = self.processor.source.store();
        let ids: BTreeSet<&str> = events.iter().map(PersistedEvent::aggregate_id).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let parked = store.parked_streams(tx, &self.name, &ids).await;
        let parked: BTreeSet<StreamId> =
            parked.map_err(|error| self.store(error))?.into_iter().collect();
        let is_parked = |event: &&PersistedEvent| parked.contains(event.stream());
        let letters: Vec<DeadLetter> =
            events.iter().filter(is_parked).map(DeadLetter::queued).collect();
        if letters.is_empty() {
            return Ok(events);
        }
        let put = store.put_dead_letters(tx, &self.name, &letters).await;
        put.map_err(|error| self.store(error))?;
        debug!(events = letters.len(), "queued behind dead letters");
        let others = events.iter().filter(|event| !is_parked(event));
        Ok(Cow::Owned(others.cloned().collect()))
    }

    async fn save(&self, tx: &mut S::Transaction, through: Position) -> Result<(), Setback> {
        let lease = match self.hold {
            Hold::Leased { lease, .. } => Some(lease),
            Hold::Assigned => None,
        };
        let to = CheckpointMove { epoch: self.epoch, from: self.saved, to: through, lease };
        let store = self.processor.source.store();
        let saved = store.save_checkpoint(tx, &self.name, self.partition, to).await;
        saved.map_err(|error| self.checkpoint(error))
    }

    /// Parks an event and moves the checkpoint past it, in a transaction of its own: the one it
    /// failed in is rolled back.
    async fn park(
        &mut self,
        event: &PersistedEvent,
        attempts: u32,
        error: &(dyn Error + Send + Sync + 'static),
    ) -> Result<(), Setback> {
        let started = Instant::now();
        let source = &*self.processor.source;
        let letter = DeadLetter::failed(event, attempts, error_text(error));
        let mut tx = source.begin().await.map_err(|error| self.store(error))?;
        if let Err(setback) = self.park_in(&mut tx, letter).await {
            self.roll_back(tx).await;
            return Err(setback);
        }
        source.commit(tx).await.map_err(|error| self.store(error))?;
        warn!(
            position = event.position().get(),
            event_type = event.event_type(),
            stream = %event.stream(),
            attempts,
            error,
            "parked an event: its stream waits for an operator"
        );
        observe::parked(&self.name);
        self.moved_to(event.position(), started);
        Ok(())
    }

    async fn park_in(&self, tx: &mut S::Transaction, letter: DeadLetter) -> Result<(), Setback> {
        self.lock_mine(tx).await?;
        let position = letter.position;
        let put = self.processor.source.store().put_dead_letters(tx, &self.name, &[letter]).await;
        put.map_err(|error| self.store(error))?;
        self.save(tx, position).await
    }

    async fn roll_back(&self, tx: S::Transaction) {
        if let Err(error) = self.processor.source.rollback(tx).await {
            debug!(error = &error as &dyn Error, "the rollback failed");
        }
    }

    /// The checkpoint is committed there, and the lease was extended no earlier than `since`.
    fn moved_to(&mut self, through: Position, since: Instant) {
        (self.saved, self.reached, self.last_save) = (through, through, Instant::now());
        self.failing = self.failing.filter(|(position, _)| *position > through);
        if let Hold::Leased { lease, .. } = self.hold {
            self.renew_at = self.renew_at.max(since + lease / 3);
        }
    }

    /// For operators to see. What it fails with is no reason not to go on.
    async fn record_failure(
        &self,
        position: Position,
        attempts: u32,
        error: &(dyn Error + Send + Sync + 'static),
    ) {
        let source = &*self.processor.source;
        let text = error_text(error);
        let record = async {
            let mut conn = source.acquire().await?;
            let (name, partition, epoch) = (&self.name, self.partition, self.epoch);
            let store = source.store();
            let attempt = es::Attempt { position: Some(position), attempts, error: Some(&text) };
            store.record_attempt(&mut conn, name, partition, epoch, attempt).await?;
            source.release(conn);
            Ok::<(), StoreError>(())
        };
        if let Err(error) = record.await {
            debug!(error = &error as &dyn Error, "the failure could not be noted");
        }
    }

    fn cannot_handle(&self, event: &PersistedEvent, source: HandlerError) -> Setback {
        Setback::Stop(ProcessorError::Handler {
            projection: self.name.clone(),
            partition: self.partition,
            position: event.position(),
            event_type: event.event_type().to_owned(),
            source,
        })
    }
}

/// Runs a handler and makes an error of its panic.
pub(crate) async fn contained(
    handled: impl Future<Output = Result<(), HandlerError>>,
) -> Result<(), HandlerError> {
    match AssertUnwindSafe(handled).catch_unwind().await {
        Ok(result) => result,
        Err(payload) => Err(HandlerPanicked { message: panic_message(&*payload) }.into()),
    }
}

pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// An error with its causes, fit to be stored: of bounded length, and without the character that
/// some databases refuse.
pub(crate) fn error_text(error: &(dyn Error + Send + Sync + 'static)) -> String {
    let first: &(dyn Error + 'static) = error;
    let causes = std::iter::successors(Some(first), |&error| error.source());
    let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    text.replace('\0', "\u{fffd}").chars().take(ERROR_CHARS_MAX).collect()
}
