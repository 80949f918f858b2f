//! What can go wrong with a request, sorted by what the client can do about it.

use std::error::Error;

use es::{InvalidEvent, InvalidIdentifier, Version};
use thiserror::Error;

use crate::order::{Refusal, UnreadableEvent};

type BoxError = Box<dyn Error + Send + Sync>;

/// Why a request was not carried out.
#[derive(Debug, Error)]
pub(crate) enum OrderError {
    /// Somebody else was first, or the client has seen an older version: look again, then decide.
    #[error("the order is at version {actual}, not where it was expected: look at it again")]
    Conflict { actual: Version },

    #[error(transparent)]
    Refused(#[from] Refusal),

    #[error("the Idempotency-Key was used for another request")]
    KeyReused,

    #[error("the Idempotency-Key is empty")]
    EmptyKey,

    #[error(transparent)]
    InvalidOrderId(#[from] InvalidIdentifier),

    /// What the path, the query or the body is not, with the status axum has for it.
    #[error("{detail}")]
    Malformed { status: u16, detail: String },

    #[error("there is nothing here")]
    UnknownPath,

    #[error("not with this method: the header Allow names those that are")]
    UnknownMethod,

    #[error("there is no projection of this name")]
    UnknownProjection,

    /// Nobody knows whether it was carried out: the client repeats it with the same key.
    #[error("the database cannot do it now: repeat the request with its Idempotency-Key")]
    Unavailable(#[source] BoxError),

    #[error("the database refused")]
    Database(#[source] BoxError),

    #[error("the order cannot be read")]
    Unreadable(#[from] UnreadableEvent),

    #[error("the event cannot be written")]
    Unwritable(#[from] InvalidEvent),
}
