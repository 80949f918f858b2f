//! The start check: is the schema in the database the one this library needs, and safe?

use es::{Position, StoreError, check_schema_version};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::error::{DATABASE, store_error};
use crate::record::number;

/// Looks at the row of `check_schema.sql`.
pub(crate) fn check(row: &PgRow) -> Result<(), StoreError> {
    let version: Option<i32> = row.try_get(0).map_err(store_error)?;
    check_schema_version(DATABASE, version.unwrap_or(0).into())?;
    let cache_size: i64 = row.try_get(1).map_err(store_error)?;
    let increment: i64 = row.try_get(2).map_err(store_error)?;
    let cycles: bool = row.try_get(3).map_err(store_error)?;
    let encoding: &str = row.try_get(4).map_err(store_error)?;
    if cache_size != 1 {
        return Err(unsafe_schema(format!(
            "the sequence of the positions hands out {cache_size} at a time, so a session could \
             use one that readers have already passed: run `alter sequence … cache 1`"
        )));
    }
    if increment < 1 || cycles {
        return Err(unsafe_schema(
            "the sequence of the positions must count upwards and never start again: run \
             `alter sequence … increment by 1 no cycle`",
        ));
    }
    let (highest, last): (Position, Position) = (number(row, 5)?, number(row, 6)?);
    if highest > last {
        return Err(unsafe_schema(format!(
            "the sequence of the positions stands at {last} and the table holds position \
             {highest}, so new events would land where readers have already been: before anything \
             is appended, set it with `select setval('…_global_position_seq', {highest})`"
        )));
    }
    if encoding != "UTF8" {
        return Err(unsafe_schema(format!(
            "the database's encoding is {encoding}, which cannot hold every name: create the \
             database with encoding UTF8"
        )));
    }
    Ok(())
}

/// The events table is there, but not the sequence its identity column was made with.
pub(crate) fn no_sequence() -> StoreError {
    unsafe_schema(
        "the sequence of the positions is not there under the name the schema gave it: \
         rename it back to the events table's name and `_global_position_seq`",
    )
}

fn unsafe_schema(reason: impl Into<String>) -> StoreError {
    StoreError::SchemaUnsafe { reason: reason.into() }
}
