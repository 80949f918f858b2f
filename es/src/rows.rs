//! Rows about projections: what is done with them, once for all databases.
//!
//! A database brings the SQL of each [`Statement`] and two functions, [`RowStore::execute`] and
//! [`RowStore::fetch`]; with them it is a [`CheckpointStore`](crate::checkpoint::CheckpointStore) and a
//! [`ProjectionStore`](crate::projection_store::ProjectionStore). Whatever the database calls its placeholders, the
//! values of a statement come in one order, and rows of values as one JSON text.

use std::future::Future;

use crate::error::StoreError;
use crate::event_log::EventLog;

mod checkpoints;
mod decode;
mod projections;
mod row;
mod statement;
mod value;

pub use row::{Cell, Row};
pub use statement::{Column, Kind, PerStatement, Statement, with_tables};
pub use value::Value;

/// An event store that keeps what belongs to projections in tables of the same database.
///
/// As in [`EventStore`](crate::EventStore), no method begins, commits or rolls back. Dropping a
/// future leaves its statement done or not.
pub trait RowStore: EventLog {
    /// Sends a statement that changes rows, with values for its placeholders in order; gives how
    /// many rows it has changed or found to be as they should be.
    ///
    /// # Errors
    ///
    /// Whatever the database says.
    fn execute(
        &self,
        conn: &mut Self::Connection,
        statement: Statement,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Sends a statement that answers with rows, with values for its placeholders in order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if a column holds what cannot be read, else whatever the database
    /// says.
    fn fetch(
        &self,
        conn: &mut Self::Connection,
        statement: Statement,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;
}
