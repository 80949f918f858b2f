//! The SQL of one store: the files below `sql/`, with the store's table names in them.

use es::{SqlName, TableNames};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// Every statement, rendered once. Cloning one is cheap.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) append: SqlStr,
    pub(crate) existing_events: SqlStr,
    pub(crate) stream_version: SqlStr,
    pub(crate) read_stream: SqlStr,
    pub(crate) read_window: SqlStr,
    pub(crate) horizon: SqlStr,
    pub(crate) check_schema: SqlStr,
    pub(crate) notification_channel: SqlStr,
    pub(crate) register_projection: SqlStr,
    pub(crate) partition_total: SqlStr,
    pub(crate) register_checkpoints: SqlStr,
    pub(crate) lock_checkpoint: SqlStr,
    pub(crate) save_checkpoint: SqlStr,
    pub(crate) checkpoints: SqlStr,
}

impl Statements {
    pub(crate) fn new(tables: &TableNames) -> Self {
        let qualified = |name: &str| match tables.schema() {
            Some(schema) => format!("\"{schema}\".\"{name}\""),
            None => format!("\"{name}\""),
        };
        let quoted = |name: &SqlName| qualified(name.as_str());
        let events = quoted(tables.events());
        let projections = quoted(tables.projections());
        let checkpoints = quoted(tables.checkpoints());
        let schema_versions = quoted(&tables.schema_versions());
        let sequence = qualified(&format!("{}_global_position_seq", tables.events()));
        let sequence_name = format!("'{sequence}'");
        // Locks and settings carry the table's oid, so that stores in one database keep apart.
        let events_oid = format!("'{events}'::regclass::oid");
        let lock_class = format!("{events_oid}::bigint::bit(32)::integer");
        let registered_setting = format!("'es.registered_' || {events_oid}");
        Statements {
            append: trusted(format!(
                include_str!("../sql/append.sql"),
                events = events,
                sequence = sequence,
                lock_class = lock_class,
                registered_setting = registered_setting
            )),
            existing_events: trusted(format!(
                include_str!("../sql/existing_events.sql"),
                events = events
            )),
            stream_version: trusted(format!(
                include_str!("../sql/stream_version.sql"),
                events = events
            )),
            read_stream: trusted(format!(include_str!("../sql/read_stream.sql"), events = events)),
            read_window: trusted(format!(include_str!("../sql/read_window.sql"), events = events)),
            horizon: trusted(format!(
                include_str!("../sql/horizon.sql"),
                sequence = sequence,
                events_oid = events_oid
            )),
            check_schema: trusted(format!(
                include_str!("../sql/check_schema.sql"),
                events = events,
                sequence = sequence,
                schema_versions = schema_versions,
                sequence_name = sequence_name
            )),
            notification_channel: trusted(format!(
                include_str!("../sql/notification_channel.sql"),
                events_oid = events_oid
            )),
            register_projection: trusted(format!(
                include_str!("../sql/register_projection.sql"),
                projections = projections
            )),
            partition_total: trusted(format!(
                include_str!("../sql/partition_total.sql"),
                projections = projections
            )),
            register_checkpoints: trusted(format!(
                include_str!("../sql/register_checkpoints.sql"),
                checkpoints = checkpoints
            )),
            lock_checkpoint: trusted(format!(
                include_str!("../sql/lock_checkpoint.sql"),
                checkpoints = checkpoints
            )),
            save_checkpoint: trusted(format!(
                include_str!("../sql/save_checkpoint.sql"),
                checkpoints = checkpoints
            )),
            checkpoints: trusted(format!(
                include_str!("../sql/checkpoints.sql"),
                checkpoints = checkpoints,
                projections = projections
            )),
        }
    }
}

/// The only places of a statement that vary are names that [`SqlName`] has validated.
fn trusted(sql: String) -> SqlStr {
    AssertSqlSafe(std::sync::Arc::<str>::from(sql)).into_sql_str()
}
