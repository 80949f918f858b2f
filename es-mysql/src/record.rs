//! From rows to values.

use bytes::Bytes;
use es::adapter::{EventRecord, ExistingEvent, SharedStrings};
use es::{NegativeNumber, PersistedEvent, StoreError, StreamId};
use sqlx::mysql::MySqlRow;
use sqlx::{Column, Row};

use crate::error::store_error;

/// The events of a read, in the order of its rows.
pub(crate) fn events(rows: &[MySqlRow]) -> Result<Vec<PersistedEvent>, StoreError> {
    let mut shared = SharedStrings::default();
    rows.iter().map(|row| event(row, &mut shared)).collect()
}

pub(crate) fn event(
    row: &MySqlRow,
    shared: &mut SharedStrings,
) -> Result<PersistedEvent, StoreError> {
    let record = event_record(row).map_err(|error| undecodable(row, error))?;
    PersistedEvent::from_record(record, shared)
}

/// The columns are those of `read_stream.sql` and `read_window.sql`, by number.
fn event_record(row: &MySqlRow) -> Result<EventRecord<'_>, sqlx::Error> {
    let nullable = |column| {
        let bytes = row.try_get::<Option<&[u8]>, _>(column)?;
        bytes.map(|bytes| as_text(row, column, bytes)).transpose()
    };
    Ok(EventRecord {
        global_position: row.try_get(0)?,
        bounded_context: text(row, 1)?,
        aggregate_type: text(row, 2)?,
        aggregate_id: text(row, 3)?,
        aggregate_version: row.try_get(4)?,
        event_id: row.try_get(5)?,
        event_type: text(row, 6)?,
        event_version: row.try_get::<i32, _>(7)?.into(),
        payload: Bytes::copy_from_slice(row.try_get(8)?),
        metadata: nullable(9)?.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        correlation_id: nullable(10)?,
        causation_id: nullable(11)?,
        trace_id: nullable(12)?,
        created_at: row.try_get(13)?,
        recorded_at: row.try_get(14)?,
    })
}

/// A name that comes as bytes, which no character set of the session changes.
fn text(row: &MySqlRow, column: usize) -> Result<&str, sqlx::Error> {
    as_text(row, column, row.try_get(column)?)
}

fn as_text<'r>(row: &MySqlRow, column: usize, bytes: &'r [u8]) -> Result<&'r str, sqlx::Error> {
    str::from_utf8(bytes).map_err(|error| sqlx::Error::ColumnDecode {
        index: row.column(column).name().to_owned(),
        source: error.into(),
    })
}

/// A row of `existing_events.sql`.
pub(crate) fn existing_event(row: &MySqlRow) -> Result<ExistingEvent, StoreError> {
    let text = |column: usize| text(row, column).map_err(|error| undecodable(row, error));
    let stream = StreamId::new(text(1)?, text(2)?, text(3)?);
    Ok(ExistingEvent {
        event_id: value(row, 0)?,
        stream: stream.map_err(|error| StoreError::corrupt(error.to_string()))?,
        version: number(row, 4)?,
        position: number(row, 5)?,
    })
}

/// A value of any column; the error names the column and the row's first one.
pub(crate) fn value<'r, T>(row: &'r MySqlRow, column: usize) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::MySql> + sqlx::Type<sqlx::MySql>,
{
    row.try_get(column).map_err(|error| undecodable(row, error))
}

/// sqlx names a column that is asked for by its number by that.
fn undecodable(row: &MySqlRow, error: sqlx::Error) -> StoreError {
    let sqlx::Error::ColumnDecode { index, source } = error else {
        return store_error(error);
    };
    let column = index.parse().ok().and_then(|index: usize| row.columns().get(index));
    let name = column.map_or(index.as_str(), sqlx::Column::name);
    StoreError::corrupt(format!("a value in the column {name} that cannot be read: {source}"))
}

/// A `bigint` that is never negative.
pub(crate) fn number<T: TryFrom<i64, Error = NegativeNumber>>(
    row: &MySqlRow,
    column: usize,
) -> Result<T, StoreError> {
    let number: i64 = value(row, column)?;
    T::try_from(number).map_err(|negative| {
        let name = row.column(column).name();
        StoreError::corrupt(format!("a negative number in the column {name}, {negative}"))
    })
}
