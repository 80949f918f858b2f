//! The SQL of one store: the files below `sql/`, with the store's table names in them.

use std::fmt::Write;

use es::TableNames;
use sqlx::SqlStr;

use crate::schema::SchemaCheck;
use crate::sql::{quoted, trusted};

/// Appends of up to this many events are rendered once and stay prepared on their connection.
const PREPARED_EVENTS_MAX: usize = 16;

/// How many values the append binds before the first event's, and for each event.
const STREAM_BINDS: usize = 5;
const EVENT_BINDS: usize = 9;

/// Every statement, rendered once. Cloning one is cheap.
#[derive(Debug)]
pub(crate) struct Statements {
    events_name: String,
    append: Vec<SqlStr>,
    append_template: String,
    pub(crate) existing_events: SqlStr,
    pub(crate) stream_version: SqlStr,
    pub(crate) read_stream: SqlStr,
    pub(crate) first_position_since: SqlStr,
    pub(crate) read_window: SqlStr,
    pub(crate) horizon: SqlStr,
    pub(crate) check_schema: SchemaCheck,
}

impl Statements {
    pub(crate) fn new(tables: &TableNames) -> Self {
        let events = quoted(tables.events());
        let append_template =
            format!(include_str!("../sql/events/append.sql"), events = events, rows = ROWS);
        let append = (1..=PREPARED_EVENTS_MAX)
            .map(|count| trusted(render_append(&append_template, count)))
            .collect();
        Statements {
            events_name: tables.events().as_str().to_owned(),
            append,
            append_template,
            existing_events: trusted(format!(
                include_str!("../sql/events/existing_events.sql"),
                events = events
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
            horizon: SqlStr::from_static(include_str!("../sql/events/horizon.sql")),
            check_schema: SchemaCheck::new(tables),
        }
    }

    /// The events table's name, without quotes: a value for `horizon.sql`.
    pub(crate) fn events_name(&self) -> String {
        self.events_name.clone()
    }

    /// The append of `count` events, and whether it is worth keeping prepared.
    pub(crate) fn append(&self, count: usize) -> (SqlStr, bool) {
        match self.append.get(count.wrapping_sub(1)) {
            Some(prepared) => (prepared.clone(), true),
            None => (trusted(render_append(&self.append_template, count)), false),
        }
    }
}

/// Stands in the append's template where the rows of the events go.
const ROWS: &str = "<rows>";

fn render_append(template: &str, count: usize) -> String {
    let mut rows = String::new();
    for ordinal in 1..=count {
        let separator = if ordinal == 1 { "" } else { ", " };
        write!(rows, "{separator}({ordinal}").expect("a string can be written to");
        let first = STREAM_BINDS + (ordinal - 1) * EVENT_BINDS + 1;
        for bind in first..first + EVENT_BINDS {
            write!(rows, ", ?{bind}").expect("a string can be written to");
        }
        rows.push(')');
    }
    template.replacen(ROWS, &rows, 1)
}
