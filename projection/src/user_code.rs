//! The user's code, within its limits, and whose fault its errors are.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use es::{Cause, EventSource};
use futures_util::FutureExt;
use tokio::time::timeout;

use crate::handler_error::{HandlerError, HandlerPanicked, HandlerTimedOut, Said, said};
use crate::limits::{NOTE_TIME_MAX, answered_within};

/// Why the handler's work on an event, or a batch, came to nothing.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: HandlerError,
    pub(crate) cause: Cause,
    pub(crate) said: Option<Said>,
}

impl Failed {
    /// Whether another transaction may succeed.
    pub(crate) fn is_undone(&self) -> bool {
        match self.said {
            Some(said) => said == Said::Retryable,
            None => self.cause > Cause::Statement,
        }
    }
}

/// Whose fault an error is, as it says, or as the transaction says that it happened in.
pub(crate) async fn failed_in<S: EventSource>(
    source: &S,
    tx: &mut S::Transaction,
    error: HandlerError,
) -> Failed {
    let said = said(&*error);
    let is_the_librarys = error.is::<HandlerTimedOut>() || error.is::<HandlerPanicked>();
    let cause = match source.cause(&*error) {
        Some(cause) => cause,
        None if is_the_librarys || said.is_some() => Cause::Statement,
        None => match answered_within(NOTE_TIME_MAX, source.probe(tx)).await {
            Ok(()) => Cause::Statement,
            Err(error) => error.cause().unwrap_or(Cause::Transaction).max(Cause::Transaction),
        },
    };
    Failed { error, cause, said }
}

/// Runs a handler, and makes an error of its panic and of its taking too long.
pub(crate) async fn contained(
    time_max: Duration,
    handled: impl Future<Output = Result<(), HandlerError>>,
) -> Result<(), HandlerError> {
    match timeout(time_max, AssertUnwindSafe(handled).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(payload)) => Err(HandlerPanicked { message: panic_message(&*payload) }.into()),
        Err(_) => Err(HandlerTimedOut { time_max }.into()),
    }
}

pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
