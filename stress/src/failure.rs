//! Why a transaction did not come to its end, sorted by what the stress makes of it.

use es::{AppendError, EventSource, StoreError};

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another writer appended first.
    Conflict,
    /// The database asks to run it again, or the connection was lost.
    Retryable(anyhow::Error),
    /// The store is broken, or this program is.
    Fatal(anyhow::Error),
}

impl Failure {
    /// Sorts what the stress's own statements return.
    pub(crate) fn of_statement<S: EventSource>(source: &S, error: sqlx::Error) -> Self {
        if source.cause(&error) > Some(es::Cause::Statement) {
            return Failure::Retryable(error.into());
        }
        Failure::Fatal(error.into())
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        match error {
            error if error.is_conflict() => Failure::Conflict,
            error if error.is_retryable() => Failure::Retryable(error.into()),
            error => Failure::Fatal(error.into()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if error.is_retryable() {
            return Failure::Retryable(error.into());
        }
        Failure::Fatal(error.into())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Fatal(error)
    }
}
