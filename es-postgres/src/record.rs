//! From rows to values.

use es::adapter::{ExistingEvent, InsertedEvents, Insertion};
use es::{NegativeNumber, Position, StoreError, StreamId, Version};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::error::store_error;

/// The row of `append_one.sql`.
pub(crate) fn inserted_one(rows: &[PgRow]) -> Result<Insertion, StoreError> {
    InsertedEvents::from_rows(versions_and_positions(rows)?).map(Insertion::from)
}

/// The rows of `append.sql`: one for each event but the first, and in each the first's position.
pub(crate) fn inserted(rows: &[PgRow]) -> Result<Insertion, StoreError> {
    let mut pairs = versions_and_positions(rows)?;
    if let (Some((second, _)), Some(row)) = (pairs.iter().min().copied(), rows.first()) {
        pairs.push((second.previous(), number(row, 2)?));
    }
    InsertedEvents::from_rows(pairs).map(Insertion::from)
}

fn versions_and_positions(rows: &[PgRow]) -> Result<Vec<(Version, Position)>, StoreError> {
    rows.iter().map(|row| Ok((number(row, 0)?, number(row, 1)?))).collect()
}

/// A row of `existing_events.sql`; `None` for the one that only says where the sequence stands.
pub(crate) fn existing_event(row: &PgRow) -> Result<Option<ExistingEvent>, StoreError> {
    let event_id: Option<uuid::Uuid> = row.try_get(0).map_err(store_error)?;
    let Some(event_id) = event_id else { return Ok(None) };
    let text = |column: usize| row.try_get::<&str, _>(column).map_err(store_error);
    let stream = StreamId::new(text(1)?, text(2)?, text(3)?);
    Ok(Some(ExistingEvent {
        event_id,
        stream: stream.map_err(|error| StoreError::corrupt(error.to_string()))?,
        version: number(row, 4)?,
        position: number(row, 5)?,
    }))
}

/// A row of `stream_versions.sql`, as far as it names a stream.
pub(crate) fn stream(row: &PgRow) -> Result<StreamId, StoreError> {
    let text = |column: usize| row.try_get::<&str, _>(column).map_err(store_error);
    let stream = StreamId::new(text(0)?, text(1)?, text(2)?);
    stream.map_err(|error| StoreError::corrupt(error.to_string()))
}

/// A `bigint` that is never negative.
pub(crate) fn number<T: TryFrom<i64, Error = NegativeNumber>>(
    row: &PgRow,
    column: usize,
) -> Result<T, StoreError> {
    let number: i64 = row.try_get(column).map_err(store_error)?;
    T::try_from(number)
        .map_err(|negative| StoreError::corrupt(format!("a negative number: {negative}")))
}
