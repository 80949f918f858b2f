//! For authors of stores: what an adapter to a database implements and uses.
//!
//! **Not covered by semver.** Nobody but an adapter's crate and the crate `projection` needs it.

pub use crate::projection_sql;
pub use crate::rows::{
    Cell, Column, Kind, PerStatement, Row, RowStore, Statement, Value, with_tables,
};
