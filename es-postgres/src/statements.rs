//! The SQL of one store: the files below `sql/`, with the store's table names in them.

use es::TableNames;
use sqlx::SqlStr;

use crate::schema::SchemaCheck;
use crate::sql::{quoted, trusted};

/// Every statement, rendered once. Cloning one is cheap.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) sequence: String,
    pub(crate) append: SqlStr,
    pub(crate) append_one: SqlStr,
    pub(crate) existing_events: SqlStr,
    pub(crate) stream_version: SqlStr,
    pub(crate) read_stream: SqlStr,
    pub(crate) first_position_since: SqlStr,
    pub(crate) read_window: SqlStr,
    pub(crate) horizon: SqlStr,
    pub(crate) check_schema: SchemaCheck,
    pub(crate) notification_channel: SqlStr,
    pub(crate) register: SqlStr,
    pub(crate) stream_versions: SqlStr,
    pub(crate) import: SqlStr,
    pub(crate) last_drawn: SqlStr,
}

impl Statements {
    pub(crate) fn new(tables: &TableNames) -> Self {
        let events = quoted(tables, tables.events().as_str());
        let sequence = quoted(tables, &format!("{}_global_position_seq", tables.events()));
        let sequence_name = format!("'{sequence}'");
        // Locks and settings carry the table's oid, so that stores in one database keep apart.
        let events_oid = format!("'{events}'::regclass::oid");
        let lock_class = format!("{events_oid}::bigint::bit(32)::integer");
        let registered_setting = format!("'es.registered_' || {events_oid}");
        Statements {
            sequence: sequence.clone(),
            append: trusted(format!(
                include_str!("../sql/events/append.sql"),
                events = events,
                sequence = sequence,
                sequence_name = sequence_name,
                lock_class = lock_class,
                registered_setting = registered_setting
            )),
            append_one: trusted(format!(
                include_str!("../sql/events/append_one.sql"),
                events = events,
                sequence = sequence,
                sequence_name = sequence_name,
                lock_class = lock_class,
                registered_setting = registered_setting
            )),
            existing_events: trusted(format!(
                include_str!("../sql/events/existing_events.sql"),
                events = events,
                sequence = sequence
            )),
            stream_version: trusted(format!(
                include_str!("../sql/events/stream_version.sql"),
                events = events
            )),
            first_position_since: trusted(format!(
                include_str!("../sql/events/first_position_since.sql"),
                events = events
            )),
            read_stream: trusted(format!(
                include_str!("../sql/events/read_stream.sql"),
                events = events
            )),
            read_window: trusted(format!(
                include_str!("../sql/events/read_window.sql"),
                events = events
            )),
            horizon: trusted(format!(
                include_str!("../sql/events/horizon.sql"),
                sequence = sequence,
                events_oid = events_oid
            )),
            check_schema: SchemaCheck::new(tables),
            notification_channel: trusted(format!(
                include_str!("../sql/events/notification_channel.sql"),
                events_oid = events_oid
            )),
            register: trusted(format!(
                include_str!("../sql/events/register.sql"),
                events = events,
                sequence = sequence,
                lock_class = lock_class,
                registered_setting = registered_setting
            )),
            stream_versions: trusted(format!(
                include_str!("../sql/events/stream_versions.sql"),
                events = events
            )),
            import: trusted(format!(include_str!("../sql/events/import.sql"), events = events)),
            last_drawn: trusted(format!(
                include_str!("../sql/events/last_drawn.sql"),
                sequence_name = sequence_name
            )),
        }
    }
}
