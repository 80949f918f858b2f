//! Limits in time: how long the library waits for the database, and how long the user's code may
//! take.

use std::error::Error;
use std::time::Duration;

use es::StoreError;
use thiserror::Error as ThisError;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::handler_error::chain;

/// How long a note for operators may take, or a question about what went wrong.
pub(crate) const NOTE_TIME_MAX: Duration = Duration::from_secs(5);

/// What the processor does to a future of the driver that takes too long: it is dropped, and the
/// connection with it.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("the database did not answer within {time_max:?}")]
pub(crate) struct NoAnswer {
    time_max: Duration,
}

/// Whether nothing came in the time there was.
pub(crate) fn no_answer(error: &StoreError) -> bool {
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
