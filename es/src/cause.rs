//! Whose fault an error is, however it is wrapped.

use std::error::Error;

use crate::append_error::AppendError;
use crate::checkpoint::CheckpointError;
use crate::error::{Cause, StoreError};

/// Whose fault `error` is, where it or any of its causes says so: one of this crate's errors, or an
/// error of the driver that `driver_cause` recognises. The gravest cause counts.
///
/// An error that wraps another one transparently hides it and shows only what the hidden one was
/// caused by, so `driver_cause` must recognise the driver's innermost errors too.
pub fn cause(
    error: &(dyn Error + 'static),
    driver_cause: impl Fn(&(dyn Error + 'static)) -> Option<Cause>,
) -> Option<Cause> {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    let causes = chain.filter_map(|error| {
        let store = error.downcast_ref().and_then(StoreError::cause);
        let append = || match error.downcast_ref() {
            Some(AppendError::Store(error)) => error.cause(),
            _ => None,
        };
        let checkpoint = || match error.downcast_ref() {
            Some(CheckpointError::Store(error)) => error.cause(),
            _ => None,
        };
        store.or_else(append).or_else(checkpoint).or_else(|| driver_cause(error))
    });
    causes.max()
}
