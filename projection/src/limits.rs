//! Limits in time: how long the library waits for the database, and how long the user's code may
//! take.

use std::error::Error;
use std::time::Duration;

use es::adapter::TRANSACTION_TIME_MAX;
use es::{EventSource, StoreError};
use thiserror::Error as ThisError;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::handler_error::chain;

/// How long a note for operators may take, or a question about what went wrong.
pub(crate) const NOTE_TIME_MAX: Duration = Duration::from_secs(5);

/// How long an operator's question may take. The database ends what takes longer in a transaction
/// of the library's a little earlier, and says so on a connection that can go on.
pub(crate) const ANSWER_TIME_MAX: Duration = TRANSACTION_TIME_MAX.saturating_add(NOTE_TIME_MAX);

/// How long what an operator does may take if it waits for batches that are being handled, in a
/// transaction that the caller has begun and may have given more time, or reads the whole log.
pub(crate) const OPERATION_TIME_MAX: Duration = Duration::from_mins(10);

/// What the processor does to a future of the driver that takes too long: it is dropped, and the
/// connection with it.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("the database did not answer within {time_max:?}")]
pub(crate) struct NoAnswer {
    time_max: Duration,
}

/// Whether nothing came in the time there was.
pub(crate) fn no_answer(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(<dyn Error>::is::<NoAnswer>)
}

/// What `future` ends with, unless it takes longer than `time_max` once `stop` is cancelled.
///
/// A statement that was sent is carried out even if nobody waits for its answer: a future that is
/// dropped at once could have effects after what is done next.
pub(crate) async fn ended_within<T>(
    time_max: Duration,
    stop: &CancellationToken,
    future: impl Future<Output = T>,
) -> Option<T> {
    let out_of_time = async {
        stop.cancelled().await;
        sleep(time_max).await;
    };
    tokio::select! {
        biased;
        ended = future => Some(ended),
        () = out_of_time => None,
    }
}

/// The answer, unless it takes longer than `time_max`: then the connection counts as lost.
pub(crate) async fn answered_within<T, E: From<StoreError>>(
    time_max: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(time_max, answer).await.unwrap_or_else(|_| {
        let source = NoAnswer { time_max }.into();
        Err(StoreError::ConnectionLost { source }.into())
    })
}

/// The answer to an operator's question, unless it takes too long.
pub(crate) async fn answered<T, E: From<StoreError>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    answered_within(ANSWER_TIME_MAX, answer).await
}

/// Ends the transaction of an operation that failed with this error. What has not answered is asked
/// nothing more: its connection is closed.
pub(crate) fn roll_back<'s, S: EventSource>(
    source: &'s S,
    tx: S::Transaction,
    error: &(dyn Error + 'static),
) -> impl Future<Output = ()> + Send + use<'s, S> {
    let is_silent = no_answer(error);
    async move {
        if is_silent {
            drop(tx);
            return;
        }
        if let Err(error) = answered_within(NOTE_TIME_MAX, source.rollback(tx)).await {
            debug!(error = &error as &dyn Error, "the rollback failed");
        }
    }
}
