//! The limit: the same rows in the same table, by the plainest statements of the database.

mod mysql;
pub(crate) mod plain;
pub(crate) mod postgres;
mod sqlite;

use chrono::{DateTime, Utc};
use es::StreamId;
use es::adapter::Slot;
use uuid::Uuid;

use crate::contender::payload;

/// One row of the events table, which a limit makes without the library.
pub(crate) struct Row {
    pub(crate) stream: StreamId,
    pub(crate) version: i64,
    pub(crate) slot: i16,
    pub(crate) id: Uuid,
    pub(crate) payload: String,
    pub(crate) created_at: DateTime<Utc>,
}

/// `count` rows of a stream behind `version`, whose payloads are numbered from `first_number`.
pub(crate) fn rows(
    stream: &StreamId,
    version: i64,
    first_number: u64,
    count: usize,
    note: &str,
) -> Vec<Row> {
    let slot = Slot::of(stream.aggregate_id()).get().cast_signed();
    (first_number..)
        .zip(version + 1..)
        .take(count)
        .map(|(number, version)| Row {
            stream: stream.clone(),
            version,
            slot,
            id: Uuid::now_v7(),
            payload: payload(number, note),
            created_at: Utc::now(),
        })
        .collect()
}
