//! A handler's own errors, in which the database's are hidden three deep.

use thiserror::Error;

/// What the handler returns.
#[derive(Debug, Error)]
pub(super) enum HandlingFailed {
    #[error(transparent)]
    Effect(#[from] EffectFailed),
    #[error("this event cannot be handled")]
    Unwilling,
}

/// What a layer below returns.
#[derive(Debug, Error)]
#[error(transparent)]
pub(super) struct EffectFailed(anyhow::Error);

/// What the layer that talks to the database returns.
#[derive(Debug, Error)]
enum RowFailed {
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for HandlingFailed {
    fn from(error: sqlx::Error) -> Self {
        HandlingFailed::Effect(EffectFailed(RowFailed::Database(error).into()))
    }
}
