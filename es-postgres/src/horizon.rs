//! From the row of `horizon.sql` to the horizon, or to the reason why there is none.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use es::{Horizon, HorizonHolder, Position, StoreError};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::error::store_error;
use crate::record::number;

const WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// The horizon, if the connection it was read on is one whose later reads it holds for.
pub(crate) fn horizon(row: &PgRow) -> Result<Horizon, StoreError> {
    refuse_unsafe(row)?;
    if let Some(session) = row.try_get::<Option<&str>, _>(7).map_err(store_error)? {
        warn_of(session);
    }
    let end: Position = number(row, 0)?;
    let low = row.try_get::<Option<i64>, _>(1).map_err(store_error)?;
    let Some(low) = low else {
        return Ok(Horizon::new(end, end));
    };
    let position = Position::try_from(low).map_err(|low| {
        StoreError::corrupt(format!("an advisory lock of the events table for position {low}"))
    })?;
    let session: Option<String> = row.try_get(2).map_err(store_error)?;
    let open_for: Option<f64> = row.try_get(4).map_err(store_error)?;
    let session = session.unwrap_or_else(|| "a transaction that has just ended".to_owned());
    let mut holder = HorizonHolder::new(session);
    holder.application = row.try_get(3).map_err(store_error)?;
    let open_for = open_for.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
    holder.open_for = open_for;
    Ok(Horizon::new(position, end).with_held_by(vec![holder]))
}

/// Warns once a minute.
fn warn_of(session: &str) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
        *last = Some(Instant::now());
        tracing::warn!(
            session,
            "ignored an advisory lock on the events table that no append has taken: see what the \
             session is, and whether its role should be allowed to take advisory locks"
        );
    }
}

fn refuse_unsafe(row: &PgRow) -> Result<(), StoreError> {
    let isolation: &str = row.try_get(5).map_err(store_error)?;
    // PostgreSQL treats READ UNCOMMITTED as READ COMMITTED.
    if !matches!(isolation, "read committed" | "read uncommitted") {
        let reason = format!(
            "it is in {isolation}, whose snapshot may be older than the horizon and would skip \
             events: read the log in READ COMMITTED"
        );
        return Err(StoreError::UnsafeRead { reason });
    }
    if row.try_get(6).map_err(store_error)? {
        let reason = "the server is a hot standby, which does not know who is appending on the \
                      primary: read the log on the primary";
        return Err(StoreError::UnsafeRead { reason: reason.to_owned() });
    }
    Ok(())
}
