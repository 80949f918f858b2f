//! Handling the dead letters of a stream again.

use std::error::Error;
use std::time::Duration;

use es::adapter::{ProjectionStore, TRANSACTION_TIME_MAX};
use es::{DeadLetter, EventSource, PersistedEvent, Position, ProjectionName, StreamId};
use tokio::time::Instant;
use tracing::{info, warn};

use super::base::Operator;
use super::error::OperatorError;
use super::letter_queue::{CHANGES_MAX, LetterQueue, Locked, changed};
use crate::context::EventContext;
use crate::handler_error::{HandlerError, HandlerPanicked, HandlerTimedOut, error_text};
use crate::limits::{answered, roll_back};
use crate::projection::Projection;
use crate::user_code::{contained, failed_in};

/// By how much the database's time limit exceeds the handler's, so that the handler's is first.
const TIME_MARGIN: Duration = Duration::from_secs(1);

/// What came of trying dead letters again.
#[derive(Debug)]
#[non_exhaustive]
pub enum RetriedLetters {
    /// This many were handled; the stream has none left.
    Handled(usize),
    /// Some were handled and committed, then this one failed again. It and those after it are dead
    /// letters as before.
    Failed {
        /// How many were handled before.
        handled: usize,
        /// Which one failed.
        position: Position,
        /// What the handler said.
        source: HandlerError,
    },
}

impl<S: EventSource> Operator<'_, S> {
    /// Handles the dead letters of one stream again, in order, in transactions of up to 500 events
    /// and 8 MiB: each is handled once, and is a dead letter no more in the same transaction. Events
    /// of the stream that a worker comes to meanwhile queue after them, and are handled as well.
    ///
    /// The effects are those of `projection`, which must be what the workers run. The partition's
    /// checkpoint is locked meanwhile, so its worker waits. The handler may take 60 seconds for an
    /// event, see [`retry_within`](Operator::retry_within).
    ///
    /// # Errors
    ///
    /// [`OperatorError::UnknownProjection`], [`OperatorError::MissingEvent`],
    /// [`OperatorError::Undone`], and whatever the database says. What the handler says is in
    /// [`RetriedLetters::Failed`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what is not committed is rolled back.
    pub async fn retry<P>(
        self,
        projection: &P,
        stream: &StreamId,
    ) -> Result<RetriedLetters, OperatorError>
    where
        P: Projection<Connection = S::Connection>,
    {
        self.retry_within(projection, stream, TRANSACTION_TIME_MAX).await
    }

    /// As [`retry`](Operator::retry), with a time limit for each event. A handler that takes longer
    /// is dropped with its transaction, and its event has failed. After that time a transaction
    /// takes no further event.
    ///
    /// # Errors
    ///
    /// As [`retry`](Operator::retry).
    ///
    /// # Cancel safety
    ///
    /// As [`retry`](Operator::retry).
    pub async fn retry_within<P>(
        self,
        projection: &P,
        stream: &StreamId,
        time_max: Duration,
    ) -> Result<RetriedLetters, OperatorError>
    where
        P: Projection<Connection = S::Connection>,
    {
        let queue = LetterQueue { source: self.source, name: projection.name().clone(), stream };
        let retry = Retry { queue, projection, time_max };
        let (mut handled, mut changes) = (0, 0);
        let mut failed: Option<(DeadLetter, HandlerError)> = None;
        loop {
            let mut letters = retry.queue.letters().await?;
            if let Some((first, _)) = &failed {
                // What comes before it is good.
                letters.retain(|letter| letter.position < first.position);
            }
            if letters.is_empty() {
                let Some((letter, source)) = failed else {
                    return self.none_left(&retry.queue.name, handled).await;
                };
                retry.note_failure(&letter, &*source).await;
                return Ok(RetriedLetters::Failed { handled, position: letter.position, source });
            }
            match retry.handle(letters).await? {
                Tried::Handled(count) => {
                    (handled, changes) = (handled + count, 0);
                    let projection = &retry.queue.name;
                    info!(%projection, %stream, events = count, "handled dead letters");
                }
                Tried::Failed(letter, error) => failed = Some((letter, error)),
                Tried::Changed if changes < CHANGES_MAX => changes += 1,
                Tried::Changed => return Err(changed("the dead letters have").into()),
            }
        }
    }

    /// A stream without dead letters may be one of a projection that is not there.
    async fn none_left(
        self,
        projection: &ProjectionName,
        handled: usize,
    ) -> Result<RetriedLetters, OperatorError> {
        if handled == 0 {
            let mut conn = answered(self.source.acquire()).await?;
            let known = self.check_known(&mut conn, projection).await;
            self.source.release(conn);
            known?;
        }
        Ok(RetriedLetters::Handled(handled))
    }
}

/// Dead letters of one stream that are tried again.
struct Retry<'a, S, P> {
    queue: LetterQueue<'a, S>,
    projection: &'a P,
    time_max: Duration,
}

/// What came of one transaction with dead letters.
enum Tried {
    /// This many were handled and committed.
    Handled(usize),
    /// This one failed, and nothing was committed.
    Failed(DeadLetter, HandlerError),
    /// Somebody else has seen to some of them; nothing was committed.
    Changed,
}

impl<S, P> Retry<'_, S, P>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    /// Handles the first of these letters, as many as fit in one transaction, and removes them; or
    /// neither.
    async fn handle(&self, letters: Vec<DeadLetter>) -> Result<Tried, OperatorError> {
        let (queue, source) = (&self.queue, self.queue.source);
        // The log is read outside the transaction, as always.
        let events = queue.events_of(&letters).await?;
        let Locked { mut tx, partition, checkpoint } =
            queue.begin_locked(self.time_max.saturating_add(TIME_MARGIN)).await?;
        let now = queue.letters_in(&mut tx).await?;
        let now = now.iter().map(|letter| letter.position);
        if !now.take(events.len()).eq(events.iter().map(PersistedEvent::position)) {
            answered(source.rollback(tx)).await?;
            return Ok(Tried::Changed);
        }
        let (started, mut handled) = (Instant::now(), Vec::new());
        for (letter, event) in letters.into_iter().zip(&events) {
            if !handled.is_empty() && started.elapsed() >= self.time_max {
                break;
            }
            let context = EventContext {
                replaying: event.position() <= checkpoint.replay_until,
                position: event.position(),
                attempt: letter.attempts.saturating_add(1),
                partition,
            };
            let Err(error) = self.handle_one(&mut tx, event, &context).await else {
                handled.push(event.position());
                continue;
            };
            if error.is::<HandlerTimedOut>() || error.is::<HandlerPanicked>() {
                // It may have been in the middle of a statement: the connection is closed.
                drop(tx);
                return Ok(Tried::Failed(letter, error));
            }
            let failed = failed_in(source, &mut tx, error).await;
            roll_back(source, tx, &*failed.error).await;
            if !failed.is_undone() {
                return Ok(Tried::Failed(letter, failed.error));
            }
            let (projection, position) = (queue.name.clone(), letter.position);
            return Err(OperatorError::Undone { projection, position, source: failed.error });
        }
        answered(source.check_open(&mut tx)).await?;
        answered(source.store().remove_dead_letters(&mut tx, &queue.name, &handled)).await?;
        answered(source.commit(tx)).await?;
        Ok(Tried::Handled(handled.len()))
    }

    async fn handle_one(
        &self,
        tx: &mut S::Transaction,
        event: &PersistedEvent,
        context: &EventContext,
    ) -> Result<(), HandlerError> {
        let handled = async { self.projection.handle(tx, event, context).await };
        contained(self.time_max, handled).await
    }

    /// For operators to see. What it fails with is no reason to hide what the handler said.
    async fn note_failure(&self, letter: &DeadLetter, error: &(dyn Error + Send + Sync + 'static)) {
        let mut letter = letter.clone();
        letter.attempts = letter.attempts.saturating_add(1);
        letter.error = Some(error_text(error));
        if let Err(error) = self.queue.replace(&letter).await {
            let error = &error as &dyn Error;
            warn!(error, position = letter.position.get(), "the failure could not be noted");
        }
    }
}
