//! What a run does with a batch: handle it, try again, park.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::error::Error;
use std::future::pending;

use es::adapter::{Attempt, Checkpoint, CheckpointMove, CheckpointStore, ProjectionStore};
use es::{
    Cause, CheckpointError, DeadLetter, EventBatch, EventSource, PersistedEvent, Position,
    StoreError, StreamId,
};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::attempts::{Failing, Next, judge};
use super::run::{Interruption, Ownership, Retry, Run};
use crate::handler_error::{HandlerNeverEnded, HandlerTimedOut, chain, error_text};
use crate::limits::{NOTE_TIME_MAX, NoAnswer, answered_within, ended_within};
use crate::policy::Verdict;
use crate::user_code::{Failed, contained, failed_in};
use crate::{
    BatchContext, HandlerError, HandlerPanicked, ProcessorError, Projection, TooManyInARow, observe,
};

/// Why a transaction with a batch did not commit.
pub(super) enum BatchError {
    /// The handler failed, on one of the events, or what it did made a later statement fail.
    Handler(Failed),
    /// Anything else.
    Interruption(Interruption),
}

impl BatchError {
    /// What it means where no event was handled.
    pub(super) fn without_event(self) -> Interruption {
        match self {
            BatchError::Interruption(interruption) => interruption,
            BatchError::Handler(failed) => {
                Interruption::Retry(Retry { source: failed.error, position: None })
            }
        }
    }

    /// Whether a future of the driver may have been dropped in the middle of a statement, so that
    /// the connection can only be closed.
    fn is_in_mid_statement(&self) -> bool {
        let error = match self {
            BatchError::Handler(failed) => &*failed.error,
            BatchError::Interruption(Interruption::Retry(retry)) => &*retry.source,
            BatchError::Interruption(_) => return false,
        };
        chain(error).any(|error| {
            error.is::<NoAnswer>() || error.is::<HandlerTimedOut>() || error.is::<HandlerPanicked>()
        })
    }
}

impl From<Interruption> for BatchError {
    fn from(interruption: Interruption) -> Self {
        BatchError::Interruption(interruption)
    }
}

impl<S, P> Run<'_, S, P>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    /// Handles a batch in one transaction; if the handler fails, event by event, so that the good
    /// ones are kept and the bad one is named.
    pub(super) async fn handle(&mut self, batch: EventBatch) -> Result<(), Interruption> {
        let EventBatch { events, complete_through } = batch;
        let Some(first) = events.first().map(PersistedEvent::position) else {
            return Ok(());
        };
        if self.failing.is_none_or(|failing| failing.position > complete_through) {
            if !self.is_marked {
                self.note(Attempt { position: Some(first), attempts: 0, error: None }).await?;
                self.is_marked = true;
            }
            match Box::pin(self.commit_handled(&events, complete_through, 1)).await {
                Ok(()) => return Ok(()),
                Err(BatchError::Interruption(interruption)) => return Err(interruption),
                Err(BatchError::Handler(failed)) => {
                    if chain(&*failed.error).any(<dyn Error>::is::<HandlerTimedOut>) {
                        self.pace.took_too_long(u32::try_from(events.len()).unwrap_or(u32::MAX));
                    }
                    debug!(error = &*failed.error, events = events.len(), "event by event");
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
        // After the last event there is nothing for this run.
        self.reached = complete_through;
        Ok(())
    }

    /// Handles an event as often as the policy says, and then does with it what the policy says.
    async fn handle_one(&mut self, event: &PersistedEvent) -> Result<(), Interruption> {
        let position = event.position();
        let policy = self.processor.projection.failure_policy();
        loop {
            let known = self.failing.filter(|failing| failing.position == position);
            let failing = known.unwrap_or(Failing::at(position));
            let failing = self.after_survivors(failing).await?;
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            if failing.is_open && policy.gives_up_after_death(failing.failed) {
                let attempts = failing.failed;
                let error: HandlerError = HandlerNeverEnded { attempts }.into();
                if policy.last() == Verdict::Park {
                    // Whatever else is at fault, it is not to end one process after the other.
                    return self.park(event, attempts, &*error).await;
                }
                let given_up = self.give_up(event, attempts, error, policy.last()).await;
                // Open again: the next to take the partition over gives it up as well, and lives.
                self.note(Attempt { position: Some(position), attempts, error: None }).await?;
                return given_up;
            }
            let attempt = failing.failed.saturating_add(1);
            self.failing = Some(Failing { is_open: false, ..failing });
            self.open_attempt = Some(position);
            let begun = Attempt { position: Some(position), attempts: attempt, error: None };
            self.note(begun).await?;
            let one = std::slice::from_ref(event);
            let (stop, stop_time_max) = (self.shutdown.clone(), self.processor.stop_time_max);
            let made = Box::pin(self.commit_handled(one, position, attempt));
            let failed = match ended_within(stop_time_max, &stop, made).await {
                Some(Ok(())) => return Ok(()),
                Some(Err(BatchError::Interruption(interruption))) => return Err(interruption),
                Some(Err(BatchError::Handler(failed))) => failed,
                None => {
                    let error = "the processor was stopped in the middle of the event".into();
                    self.does_not_count(failing, &error).await;
                    return Ok(());
                }
            };
            let undone_max = self.processor.attempts_max.get();
            match judge(&failed, failing, policy, undone_max, fastrand::f64()) {
                Next::WaitForServer => {
                    self.does_not_count(failing, &failed.error).await;
                    return Err(Interruption::Retry(Retry {
                        source: failed.error,
                        position: None,
                    }));
                }
                Next::Again => {
                    let failing = Failing { undone: failing.undone.saturating_add(1), ..failing };
                    self.does_not_count(failing, &failed.error).await;
                    let position = Some(position);
                    return Err(Interruption::Retry(Retry { source: failed.error, position }));
                }
                Next::Policy(verdict) => {
                    observe::failed(&self.name);
                    self.failing = Some(Failing { failed: attempt, is_open: false, ..failing });
                    if let Verdict::RetryAfter(delay) = verdict {
                        info!(
                            position = position.get(),
                            event_type = event.event_type(),
                            attempt,
                            ?delay,
                            error = &*failed.error,
                            "the handler failed"
                        );
                        self.tell(&error_text(&*failed.error)).await;
                        self.sleep(delay, pending()).await?;
                        continue;
                    }
                    return if failed.is_undone() {
                        let undone = failing.undone.saturating_add(1);
                        self.give_up_undone(event, undone, failed.error, verdict).await
                    } else {
                        self.give_up(event, attempt, failed.error, verdict).await
                    };
                }
            }
        }
    }

    /// The attempt that was noted before it was made is taken back.
    async fn does_not_count(&mut self, failing: Failing, error: &HandlerError) {
        self.failing = Some(Failing { is_open: false, ..failing });
        self.tell(&error_text(&**error)).await;
    }

    /// Parks the event, or stands still at it.
    async fn give_up(
        &mut self,
        event: &PersistedEvent,
        attempts: u32,
        error: HandlerError,
        verdict: Verdict,
    ) -> Result<(), Interruption> {
        if verdict == Verdict::Park {
            return self.park_or_wait(event, attempts, error).await;
        }
        self.tell(&error_text(&*error)).await;
        Err(Interruption::Stop(ProcessorError::Handler {
            projection: self.name.clone(),
            partition: self.partition,
            position: event.position(),
            event_type: event.event_type().to_owned(),
            source: error,
        }))
    }

    /// As [`give_up`](Run::give_up), of an event at which one transaction after the other was undone.
    async fn give_up_undone(
        &mut self,
        event: &PersistedEvent,
        undone: u32,
        error: HandlerError,
        verdict: Verdict,
    ) -> Result<(), Interruption> {
        if verdict == Verdict::Park {
            return self.park_or_wait(event, undone, error).await;
        }
        self.tell(&error_text(&*error)).await;
        let attempts = usize::try_from(undone).unwrap_or(usize::MAX);
        Err(Interruption::Stop(self.retries_exhausted(attempts, Some(event.position()), error)))
    }

    /// Parks the event, unless so many were parked in a row that it is not the events' fault: then
    /// this one is tried again after a while, until something else is mended.
    async fn park_or_wait(
        &mut self,
        event: &PersistedEvent,
        attempts: u32,
        error: HandlerError,
    ) -> Result<(), Interruption> {
        let parked_max = self.processor.parked_in_a_row_max.get();
        if self.parked_in_a_row < parked_max {
            return self.park(event, attempts, &*error).await;
        }
        let source: HandlerError =
            TooManyInARow { parked: self.parked_in_a_row, source: error }.into();
        if let Some(failing) = self.failing {
            let failed = failing.failed.saturating_sub(1);
            self.does_not_count(Failing { failed, ..failing }, &source).await;
        }
        Err(Interruption::Retry(Retry { source, position: None }))
    }

    /// Handles `events` and moves the checkpoint to `through`, in one transaction.
    pub(super) async fn commit_handled(
        &mut self,
        events: &[PersistedEvent],
        through: Position,
        attempt: u32,
    ) -> Result<(), BatchError> {
        let _slot = self.slot().await?;
        let started = Instant::now();
        let source = &*self.processor.source;
        let begun = self.answered(source.begin_within(self.processor.time_max)).await;
        let mut tx = begun.map_err(|error| self.store(error))?;
        let handled = match self.handle_in(&mut tx, events, through, attempt).await {
            Ok(handled) => handled,
            Err(error) => {
                if !error.is_in_mid_statement() {
                    self.roll_back(tx).await;
                }
                return Err(error);
            }
        };
        match self.answered(source.commit(tx)).await {
            Ok(()) => {}
            // Whether it was committed is found out when the checkpoint is loaded.
            Err(error @ StoreError::ConnectionLost { .. }) => return Err(self.store(error).into()),
            Err(error) if events.is_empty() => return Err(self.store(error).into()),
            Err(error) => {
                let cause = error.cause().unwrap_or(Cause::Statement);
                return Err(BatchError::Handler(Failed { error: error.into(), cause, said: None }));
            }
        }
        debug!(
            events = events.len(),
            from = self.saved.get(),
            through = through.get(),
            "committed"
        );
        if handled > 0 {
            observe::handled(&self.name, handled, started.elapsed());
            self.parked_in_a_row = 0;
        }
        self.moved_to(through, started);
        Ok(())
    }

    /// Gives how many events the handler was given: those after a dead letter are not its own.
    async fn handle_in(
        &self,
        tx: &mut S::Transaction,
        events: &[PersistedEvent],
        through: Position,
        attempt: u32,
    ) -> Result<usize, BatchError> {
        let source = &*self.processor.source;
        let locked = self.lock_mine(tx).await?;
        let mut events = Cow::Borrowed(events);
        if locked.has_dead_letters && !events.is_empty() {
            events = self.queue_after_dead_letters(tx, events).await?;
        }
        if events.is_empty() {
            let saved = self.save(tx, through).await;
            return Ok(saved.map(|()| 0).map_err(|error| self.checkpoint(error))?);
        }
        let context = BatchContext::new(self.partition, attempt, self.replay_until);
        let projection = &self.processor.projection;
        let handled = async { projection.handle_batch(tx, &events, &context).await };
        if let Err(error) = contained(self.processor.time_max, handled).await {
            return Err(BatchError::Handler(failed_in(source, tx, error).await));
        }
        if let Err(error) = self.answered(source.check_open(tx)).await {
            return Err(self.ended_meanwhile(error));
        }
        match self.save(tx, through).await {
            Ok(()) => Ok(events.len()),
            // What the handler has done can make this statement fail, such as an error of the
            // server that it hid.
            Err(CheckpointError::Store(error)) if !error.is_retryable() => {
                Err(BatchError::Handler(failed_in(source, tx, error.into()).await))
            }
            Err(CheckpointError::Store(error)) => Err(self.ended_meanwhile(error)),
            Err(error) => Err(self.checkpoint(error).into()),
        }
    }

    /// The handler has returned, and its transaction is no more: as if the handler had asked the
    /// database once again, for it may be what took too long.
    fn ended_meanwhile(&self, error: StoreError) -> BatchError {
        match error.cause() {
            Some(Cause::Transaction) => {
                let cause = Cause::Transaction;
                BatchError::Handler(Failed { error: error.into(), cause, said: None })
            }
            _ => self.store(error).into(),
        }
    }

    /// Locks the checkpoint and checks that it is where this run left it, and still this run's.
    async fn lock_mine(&self, tx: &mut S::Transaction) -> Result<Checkpoint, Interruption> {
        let store = self.processor.source.store();
        let locked = self.answered(store.lock_checkpoint(tx, &self.name, self.partition)).await;
        let locked = locked.map_err(|error| self.checkpoint(error))?;
        if locked.epoch != self.epoch && self.ownership != Ownership::Assigned {
            return Err(Interruption::Lost);
        }
        let is_paused_now = locked.is_paused && !self.is_paused;
        if (locked.epoch, locked.position) != (self.epoch, self.saved) || is_paused_now {
            let (projection, partition) = (self.name.clone(), self.partition);
            let stale = CheckpointError::Stale { projection, partition, expected: self.saved };
            return Err(self.checkpoint(stale));
        }
        Ok(locked)
    }

    /// Puts the events of streams that have dead letters after those, and gives the others.
    async fn queue_after_dead_letters<'e>(
        &self,
        tx: &mut S::Transaction,
        events: Cow<'e, [PersistedEvent]>,
    ) -> Result<Cow<'e, [PersistedEvent]>, Interruption> {
        let store = self.processor.source.store();
        let ids: BTreeSet<&str> = events.iter().map(PersistedEvent::aggregate_id).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let parked = self.answered(store.parked_streams(tx, &self.name, &ids)).await;
        let parked: BTreeSet<StreamId> =
            parked.map_err(|error| self.store(error))?.into_iter().collect();
        let is_parked = |event: &&PersistedEvent| parked.contains(event.stream());
        let letters: Vec<DeadLetter> =
            events.iter().filter(is_parked).map(DeadLetter::queued).collect();
        if letters.is_empty() {
            return Ok(events);
        }
        let put = self.answered(store.put_dead_letters(tx, &self.name, &letters)).await;
        put.map_err(|error| self.store(error))?;
        debug!(events = letters.len(), "queued after dead letters");
        let others = events.iter().filter(|event| !is_parked(event));
        Ok(Cow::Owned(others.cloned().collect()))
    }

    async fn save(
        &self,
        tx: &mut S::Transaction,
        through: Position,
    ) -> Result<(), CheckpointError> {
        let lease = match self.ownership {
            Ownership::Leased { lease, .. } => Some(lease),
            Ownership::Assigned => None,
        };
        let to = CheckpointMove { epoch: self.epoch, from: self.saved, to: through, lease };
        let store = self.processor.source.store();
        self.answered(store.save_checkpoint(tx, &self.name, self.partition, to)).await
    }

    /// Parks an event and moves the checkpoint past it, in a transaction of its own: the one it
    /// failed in is rolled back.
    async fn park(
        &mut self,
        event: &PersistedEvent,
        attempts: u32,
        error: &(dyn Error + Send + Sync + 'static),
    ) -> Result<(), Interruption> {
        let started = Instant::now();
        let source = &*self.processor.source;
        let letter = DeadLetter::failed(event, attempts, error_text(error));
        let begun = self.answered(source.begin_within(self.processor.time_max)).await;
        let mut tx = begun.map_err(|error| self.store(error))?;
        if let Err(error) = self.park_in(&mut tx, letter).await.map_err(BatchError::Interruption) {
            if !error.is_in_mid_statement() {
                self.roll_back(tx).await;
            }
            return Err(error.without_event());
        }
        self.answered(source.commit(tx)).await.map_err(|error| self.store(error))?;
        warn!(
            position = event.position().get(),
            event_type = event.event_type(),
            stream = %event.stream(),
            attempts,
            error,
            "parked an event: its stream waits for an operator"
        );
        observe::parked(&self.name);
        self.parked_in_a_row = self.parked_in_a_row.saturating_add(1);
        self.moved_to(event.position(), started);
        Ok(())
    }

    async fn park_in(
        &self,
        tx: &mut S::Transaction,
        letter: DeadLetter,
    ) -> Result<(), Interruption> {
        self.lock_mine(tx).await?;
        let position = letter.position;
        let store = self.processor.source.store();
        let put = self.answered(store.put_dead_letters(tx, &self.name, &[letter])).await;
        put.map_err(|error| self.store(error))?;
        self.save(tx, position).await.map_err(|error| self.checkpoint(error))
    }

    /// If no answer comes, the connection is closed, and the server rolls back.
    pub(super) async fn roll_back(&self, tx: S::Transaction) {
        let rollback = self.processor.source.rollback(tx);
        if let Err(error) = answered_within(NOTE_TIME_MAX, rollback).await {
            debug!(error = &error as &dyn Error, "the rollback failed");
        }
    }

    /// The checkpoint is committed there, and the lease was extended no earlier than `since`.
    fn moved_to(&mut self, through: Position, since: Instant) {
        (self.saved, self.reached, self.last_save) = (through, through, Instant::now());
        self.failing = self.failing.filter(|failing| failing.position > through);
        self.open_attempt = None;
        if let Ownership::Leased { lease, .. } = self.ownership {
            self.renew_at = self.renew_at.max(since + lease / 3);
        }
    }

    /// Notes an attempt before it is made.
    async fn note(&self, attempt: Attempt<'_>) -> Result<(), Interruption> {
        let noted = self.answered(self.record(attempt)).await;
        noted.map_err(|error| self.store(error))
    }

    /// Notes an error for operators to see. What this fails with is no reason not to go on.
    pub(super) async fn tell(&mut self, error: &str) {
        let (position, attempts) =
            self.failing.map_or((None, 0), |failing| (Some(failing.position), failing.failed));
        let attempt = Attempt { position, attempts, error: Some(error) };
        match answered_within(NOTE_TIME_MAX, self.record(attempt)).await {
            Ok(()) => self.open_attempt = None,
            Err(error) => debug!(error = &error as &dyn Error, "the failure could not be noted"),
        }
    }

    async fn record(&self, attempt: Attempt<'_>) -> Result<(), StoreError> {
        let source = &*self.processor.source;
        let mut conn = source.acquire().await?;
        let (name, partition, epoch) = (&self.name, self.partition, self.epoch);
        source.store().record_attempt(&mut conn, name, partition, epoch, attempt).await?;
        source.release(conn);
        Ok(())
    }
}
