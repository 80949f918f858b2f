//! From the rows of a read to events, as they arrive.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use es::adapter::{EventRecord, SharedStrings};
use es::{PersistedEvent, StoreError};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgRow, PgTypeInfo, PgValueFormat};
use sqlx::{Column, PgConnection, Postgres, Row, SqlStr, Type, ValueRef};
use uuid::Uuid;

use crate::PgEventStore;
use crate::error::{statement_error, store_error};
use crate::send::{PgQuery, first_unless_new, forget_stale};

/// PostgreSQL counts time from the year 2000, in microseconds; this is that moment in Unix time.
pub(crate) const EPOCH_MICROS: i64 = 946_684_800_000_000;

impl PgEventStore {
    /// The events of a read, in the order of its rows, each given to `push` until that says no.
    /// The rest of the rows is read and dropped, as the server sends them all.
    ///
    /// Each row is decoded while the server makes the next ones, and from its bytes: going through
    /// sqlx's checks of the type of every value took longer than the server took to send it. The
    /// types of the columns are checked once.
    pub(crate) async fn fetch_events<'q, E: Send>(
        &self,
        conn: &mut PgConnection,
        sql: &SqlStr,
        bind: impl Fn(PgQuery<'q>) -> PgQuery<'q> + Send,
        empty: impl Fn() -> E + Send,
        push: impl Fn(&mut E, PersistedEvent) -> bool + Send + Sync,
    ) -> Result<E, StoreError> {
        let mut first_error = None;
        loop {
            let mut events = empty();
            let rows = bind(self.query(sql)).fetch(&mut *conn);
            let error = match collect(rows, |event| push(&mut events, event)).await {
                Ok(decoded) => return decoded.map(|()| events),
                Err(error) => error,
            };
            let error = match first_error.take() {
                Some(first) => first_unless_new(first, error),
                None if forget_stale(conn, &error).await => {
                    first_error = Some(error);
                    continue;
                }
                None => error,
            };
            return Err(statement_error(sql.as_str(), error));
        }
    }
}

/// Fails with the driver's error, or gives what was wrong with a row.
async fn collect(
    mut rows: BoxStream<'_, Result<PgRow, sqlx::Error>>,
    mut push: impl FnMut(PersistedEvent) -> bool + Send,
) -> Result<Result<(), StoreError>, sqlx::Error> {
    let mut shared = SharedStrings::default();
    let (mut is_first, mut outcome) = (true, Ok(true));
    while let Some(row) = rows.try_next().await? {
        if is_first {
            outcome = check_types(&row).map(|()| true);
            is_first = false;
        }
        if matches!(outcome, Ok(true)) {
            let event = record(&row).and_then(|row| PersistedEvent::from_record(row, &mut shared));
            outcome = event.map(&mut push);
        }
    }
    Ok(outcome.map(drop))
}

/// Whether values of a type are sent in the bytes that are expected.
type IsExpected = fn(&PgTypeInfo) -> bool;

/// The columns of `read_stream.sql` and `read_window.sql`, by number.
const COLUMNS: [(&str, IsExpected); 15] = [
    ("global_position", <i64 as Type<Postgres>>::compatible),
    ("bounded_context", <str as Type<Postgres>>::compatible),
    ("aggregate_type", <str as Type<Postgres>>::compatible),
    ("aggregate_id", <str as Type<Postgres>>::compatible),
    ("aggregate_version", <i64 as Type<Postgres>>::compatible),
    ("event_id", <Uuid as Type<Postgres>>::compatible),
    ("event_type", <str as Type<Postgres>>::compatible),
    ("event_version", <i32 as Type<Postgres>>::compatible),
    ("payload", <[u8] as Type<Postgres>>::compatible),
    ("metadata", <str as Type<Postgres>>::compatible),
    ("correlation_id", <str as Type<Postgres>>::compatible),
    ("causation_id", <str as Type<Postgres>>::compatible),
    ("trace_id", <str as Type<Postgres>>::compatible),
    ("created_at", <DateTime<Utc> as Type<Postgres>>::compatible),
    ("recorded_at", <DateTime<Utc> as Type<Postgres>>::compatible),
];

fn check_types(row: &PgRow) -> Result<(), StoreError> {
    for (column, (name, is_expected)) in row.columns().iter().zip(COLUMNS) {
        if !is_expected(column.type_info()) {
            let found = column.type_info();
            let what = format!("column {name} of the events has type {found}");
            return Err(StoreError::corrupt(what));
        }
    }
    Ok(())
}

/// The columns are those of [`COLUMNS`], by number.
fn record(row: &PgRow) -> Result<EventRecord<'_>, StoreError> {
    let position = i64::from_be_bytes(array(row, 0)?);
    let record = || -> Result<EventRecord<'_>, StoreError> {
        Ok(EventRecord {
            global_position: position,
            bounded_context: text(row, 1)?,
            aggregate_type: text(row, 2)?,
            aggregate_id: text(row, 3)?,
            aggregate_version: i64::from_be_bytes(array(row, 4)?),
            event_id: Uuid::from_bytes(array(row, 5)?),
            event_type: text(row, 6)?,
            event_version: i32::from_be_bytes(array(row, 7)?).into(),
            payload: Bytes::copy_from_slice(bytes(row, 8)?),
            metadata: nullable(row, 9)?.map(Bytes::copy_from_slice),
            correlation_id: nullable_text(row, 10)?,
            causation_id: nullable_text(row, 11)?,
            trace_id: nullable_text(row, 12)?,
            created_at: known_time(row, 13)?,
            recorded_at: known_time(row, 14)?,
        })
    };
    record().map_err(|error| match error {
        StoreError::Corrupt { what } => {
            StoreError::corrupt(format!("the event at position {position}: {what}"))
        }
        other => other,
    })
}

fn corrupt(column: usize, what: impl std::fmt::Display) -> StoreError {
    let (name, _) = COLUMNS[column];
    StoreError::corrupt(format!("column {name} {what}"))
}

fn nullable(row: &PgRow, column: usize) -> Result<Option<&[u8]>, StoreError> {
    let value = row.try_get_raw(column).map_err(store_error)?;
    match value.format() {
        _ if value.is_null() => Ok(None),
        PgValueFormat::Binary => value.as_bytes().map(Some).map_err(|error| corrupt(column, error)),
        PgValueFormat::Text => Err(corrupt(column, "was sent as text")),
    }
}

fn bytes(row: &PgRow, column: usize) -> Result<&[u8], StoreError> {
    nullable(row, column)?.ok_or_else(|| corrupt(column, "is null"))
}

fn array<const N: usize>(row: &PgRow, column: usize) -> Result<[u8; N], StoreError> {
    fixed(bytes(row, column)?, column)
}

fn fixed<const N: usize>(bytes: &[u8], column: usize) -> Result<[u8; N], StoreError> {
    let found = bytes.len();
    bytes.try_into().map_err(|_| corrupt(column, format_args!("has {found} bytes, not {N}")))
}

fn text(row: &PgRow, column: usize) -> Result<&str, StoreError> {
    nullable_text(row, column)?.ok_or_else(|| corrupt(column, "is null"))
}

fn nullable_text(row: &PgRow, column: usize) -> Result<Option<&str>, StoreError> {
    let text = nullable(row, column)?.map(std::str::from_utf8).transpose();
    text.map_err(|error| corrupt(column, error))
}

fn known_time(row: &PgRow, column: usize) -> Result<DateTime<Utc>, StoreError> {
    let time = time(i64::from_be_bytes(array(row, column)?));
    time.ok_or_else(|| corrupt(column, "is at no time Rust knows"))
}

/// A time as PostgreSQL has it, if it is one that Rust knows.
pub(crate) fn time(micros: i64) -> Option<DateTime<Utc>> {
    // PostgreSQL writes its infinities as the ends of the range.
    micros.checked_add(EPOCH_MICROS).and_then(DateTime::from_timestamp_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_from_the_year_2000_and_infinity_is_none() {
        assert_eq!(time(0).unwrap().to_rfc3339(), "2000-01-01T00:00:00+00:00");
        assert_eq!(time(-1).unwrap().to_rfc3339(), "1999-12-31T23:59:59.999999+00:00");
        assert!(time(i64::MAX).is_none());
        assert!(time(i64::MIN).is_none());
    }

    #[test]
    fn a_value_of_another_length_is_an_error_and_no_panic() {
        assert_eq!(fixed(&[0, 0, 0, 7], 7).map(i32::from_be_bytes).unwrap(), 7);
        assert!(fixed::<8>(&[0, 0, 0, 7], 0).is_err());
    }
}
