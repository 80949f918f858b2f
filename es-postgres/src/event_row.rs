//! From the rows of a read to events, as they arrive.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use es::{EventRecord, PersistedEvent, ReadWindow, SharedStrings, StoreError, WindowEvents};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgRow, PgValueFormat};
use sqlx::{Row, ValueRef};
use uuid::Uuid;

use crate::error::store_error;

/// PostgreSQL counts time from the year 2000, in microseconds; this is that moment in Unix time.
pub(crate) const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// The events of a read, in the order of its rows.
///
/// Each row is decoded while the server makes the next ones, and from its bytes: going through
/// sqlx's checks of the type of every column took longer than the server took to send it. The
/// statements name their columns and the schema has been checked, so the types are known.
pub(crate) async fn collect(
    mut rows: BoxStream<'_, Result<PgRow, sqlx::Error>>,
) -> Result<Vec<PersistedEvent>, StoreError> {
    let mut shared = SharedStrings::default();
    let mut events = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(store_error)? {
        events.push(PersistedEvent::from_record(record(&row)?, &mut shared)?);
    }
    Ok(events)
}

/// The events of a window. Once it has enough the rest of the rows is read and dropped, for the
/// server sends them all: a reader asks for fewer the next time.
pub(crate) async fn collect_window(
    mut rows: BoxStream<'_, Result<PgRow, sqlx::Error>>,
    window: ReadWindow,
) -> Result<WindowEvents, StoreError> {
    let (mut shared, mut events) = (SharedStrings::default(), WindowEvents::new(window));
    let mut outcome = Ok(true);
    while let Some(row) = rows.try_next().await.map_err(store_error)? {
        if matches!(outcome, Ok(true)) {
            let event = record(&row).and_then(|row| PersistedEvent::from_record(row, &mut shared));
            outcome = event.map(|event| events.push(event));
        }
    }
    outcome.map(|_| events)
}

/// The columns are those of `read_stream.sql` and `read_window.sql`, by number.
fn record(row: &PgRow) -> Result<EventRecord<'_>, StoreError> {
    Ok(EventRecord {
        global_position: i64::from_be_bytes(array(row, 0)?),
        bounded_context: text(row, 1)?,
        aggregate_type: text(row, 2)?,
        aggregate_id: text(row, 3)?,
        aggregate_version: i64::from_be_bytes(array(row, 4)?),
        event_id: Uuid::from_bytes(array(row, 5)?),
        event_type: text(row, 6)?,
        event_version: i32::from_be_bytes(array(row, 7)?).into(),
        payload: Bytes::copy_from_slice(bytes(row, 8)?),
        metadata: nullable(row, 9)?.map(Bytes::copy_from_slice),
        correlation_id: uuid(row, 10)?,
        causation_id: uuid(row, 11)?,
        trace_id: uuid(row, 12)?,
        created_at: time(i64::from_be_bytes(array(row, 13)?))?,
    })
}

fn nullable(row: &PgRow, column: usize) -> Result<Option<&[u8]>, StoreError> {
    let value = row.try_get_raw(column).map_err(store_error)?;
    match value.format() {
        _ if value.is_null() => Ok(None),
        PgValueFormat::Binary => value
            .as_bytes()
            .map(Some)
            .map_err(|error| StoreError::corrupt(format!("column {column} of an event: {error}"))),
        PgValueFormat::Text => Err(StoreError::corrupt("an event that was sent as text")),
    }
}

fn bytes(row: &PgRow, column: usize) -> Result<&[u8], StoreError> {
    let missing = || StoreError::corrupt(format!("an event without column {column}"));
    nullable(row, column)?.ok_or_else(missing)
}

fn array<const N: usize>(row: &PgRow, column: usize) -> Result<[u8; N], StoreError> {
    fixed(bytes(row, column)?, column)
}

fn fixed<const N: usize>(bytes: &[u8], column: usize) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| {
        let found = bytes.len();
        StoreError::corrupt(format!("column {column} of an event has {found} bytes, not {N}"))
    })
}

fn text(row: &PgRow, column: usize) -> Result<&str, StoreError> {
    let invalid = |error| StoreError::corrupt(format!("column {column} of an event: {error}"));
    std::str::from_utf8(bytes(row, column)?).map_err(invalid)
}

fn uuid(row: &PgRow, column: usize) -> Result<Option<Uuid>, StoreError> {
    let Some(bytes) = nullable(row, column)? else { return Ok(None) };
    fixed(bytes, column).map(|bytes| Some(Uuid::from_bytes(bytes)))
}

fn time(micros: i64) -> Result<DateTime<Utc>, StoreError> {
    // PostgreSQL writes its infinities as the ends of the range.
    let unix = micros.checked_add(EPOCH_MICROS).and_then(DateTime::from_timestamp_micros);
    unix.ok_or_else(|| StoreError::corrupt("an event that was created at no time Rust knows"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_from_the_year_2000_and_infinity_is_an_error() {
        assert_eq!(time(0).unwrap().to_rfc3339(), "2000-01-01T00:00:00+00:00");
        assert_eq!(time(-1).unwrap().to_rfc3339(), "1999-12-31T23:59:59.999999+00:00");
        assert!(time(i64::MAX).is_err());
        assert!(time(i64::MIN).is_err());
    }

    #[test]
    fn a_value_of_another_length_is_an_error_and_no_panic() {
        assert_eq!(fixed(&[0, 0, 0, 7], 7).map(i32::from_be_bytes).unwrap(), 7);
        assert!(fixed::<8>(&[0, 0, 0, 7], 0).is_err());
    }
}
