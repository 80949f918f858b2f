//! The SQL of one store: the files below `sql/`, with the store's table names in them.

use std::collections::BTreeSet;
use std::fmt::Write;

use es::adapter::ReadWindow;
use es::{Event, EventFilter, ExpectedVersion, Partition, Position, StreamId, TableNames, Version};
use sqlx::SqlStr;

use crate::schema::SchemaCheck;
use crate::sql::{quoted, statement, trusted};

/// Inserts of up to this many events are rendered once and stay prepared on their connection.
const PREPARED_EVENTS_MAX: usize = 16;

/// The values of one event.
const EVENT_BINDS: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Every statement that is prepared, rendered once, and templates of those that are sent as text.
/// Cloning a statement is cheap.
#[derive(Debug)]
pub(crate) struct Statements {
    append: Vec<SqlStr>,
    append_template: String,
    prepare_append: String,
    existing_events: String,
    read_window: String,
    horizon: String,
    uncommitted: String,
    delete_appender: String,
    next_position: String,
    pub(crate) checkpoint_end: SqlStr,
    pub(crate) check_transaction: SqlStr,
    pub(crate) unused_appenders: SqlStr,
    pub(crate) stream_version: SqlStr,
    pub(crate) read_stream: SqlStr,
    pub(crate) first_position_since: SqlStr,
    pub(crate) check_schema: SchemaCheck,
}

impl Statements {
    pub(crate) fn new(tables: &TableNames) -> Self {
        let events = quoted(tables, tables.events());
        let appenders = quoted(tables, &tables.appenders());
        let schema = match tables.schema() {
            Some(schema) => format!("'{schema}'"),
            None => "database()".to_owned(),
        };
        let last_drawn = statement!("last_drawn.sql", schema = schema, name = tables.events());
        let last_drawn = last_drawn.trim();
        let checkpoints = quoted(tables, tables.checkpoints());
        let append_template = statement!("append.sql", events = events, rows = "<rows>");
        Statements {
            append: (1..=PREPARED_EVENTS_MAX)
                .map(|count| trusted(render_append(&append_template, count)))
                .collect(),
            append_template,
            prepare_append: statement!(
                "prepare_append.sql",
                events = events,
                appenders = appenders,
                stream = "<stream>",
                expectation = "<expectation>",
            ),
            existing_events: statement!("existing_events.sql", events = events, ids = "<ids>"),
            read_window: statement!(
                "read_window.sql",
                events = events,
                last_drawn = last_drawn,
                needed = "<needed>",
                after = "<after>",
                through = "<through>",
                filters = "<filters>",
                limit = "<limit>",
            ),
            horizon: statement!(
                "horizon.sql",
                events = events,
                appenders = appenders,
                last_drawn = last_drawn,
                known = "<known>",
            ),
            next_position: statement!(
                "next_position.sql",
                events = events,
                after = "<after>",
                through = "<through>",
            ),
            checkpoint_end: trusted(statement!("checkpoint_end.sql", checkpoints = checkpoints)),
            uncommitted: statement!(
                "uncommitted.sql",
                events = events,
                after = "<after>",
                through = "<through>",
                limit = "<limit>",
            ),
            delete_appender: statement!(
                "delete_appender.sql",
                appenders = appenders,
                connection = "<connection>",
            ),
            check_transaction: trusted(statement!("check_transaction.sql")),
            unused_appenders: trusted(statement!("unused_appenders.sql", appenders = appenders)),
            stream_version: trusted(statement!("stream_version.sql", events = events)),
            first_position_since: trusted(statement!("first_position_since.sql", events = events)),
            read_stream: trusted(statement!("read_stream.sql", events = events)),
            check_schema: SchemaCheck::new(tables),
        }
    }

    /// The insert of `count` events if it is kept prepared.
    pub(crate) fn prepared_append(&self, count: usize) -> Option<SqlStr> {
        self.append.get(count.wrapping_sub(1)).cloned()
    }

    /// The insert of any number of events.
    pub(crate) fn unprepared_append(&self, count: usize) -> SqlStr {
        trusted(render_append(&self.append_template, count))
    }

    /// The insert of these events with their values in it.
    pub(crate) fn append_text(
        &self,
        stream: &StreamId,
        first_version: Version,
        events: &[Event],
    ) -> SqlStr {
        let name = [stream.bounded_context(), stream.aggregate_type(), stream.aggregate_id()];
        let name = name.map(text).join(", ");
        let rows = events.iter().enumerate().map(|(index, event)| {
            let values = [
                name.clone(),
                first_version.saturating_add(index).to_string(),
                stream.slot().get().to_string(),
                bytes(event.id().as_bytes()),
                text(event.event_type()),
                event.event_version().to_string(),
                bytes(event.payload()),
                event.metadata().map_or_else(null, text),
                event.correlation_id().map_or_else(null, text),
                event.causation_id().map_or_else(null, text),
                event.trace_id().map_or_else(null, text),
                event.created_at().format("'%Y-%m-%d %H:%M:%S%.6f'").to_string(),
            ];
            format!("({})", values.join(", "))
        });
        render(&self.append_template, &[("<rows>", list(rows))])
    }

    pub(crate) fn prepare_append(&self, stream: &StreamId, expected: ExpectedVersion) -> SqlStr {
        let name = format!(
            "bounded_context = {} and aggregate_type = {} and aggregate_id = {}",
            text(stream.bounded_context()),
            text(stream.aggregate_type()),
            text(stream.aggregate_id())
        );
        let expectation = match expected.required() {
            Some(version) => format!("@es_version = {}", version.get()),
            None => "true".to_owned(),
        };
        let values = [("<stream>", name), ("<expectation>", expectation)];
        render(&self.prepare_append, &values)
    }

    pub(crate) fn existing_events(&self, events: &[Event]) -> SqlStr {
        let ids = events.iter().map(|event| bytes(event.id().as_bytes()));
        render(&self.existing_events, &[("<ids>", list(ids))])
    }

    pub(crate) fn read_window(&self, window: ReadWindow, filter: &EventFilter) -> SqlStr {
        let needed = if window.is_dense() { Position::START } else { window.through() };
        let values = [
            ("<needed>", needed.to_string()),
            ("<after>", window.after().to_string()),
            ("<through>", window.through().to_string()),
            ("<filters>", filters(filter)),
            ("<limit>", window.events_max().to_string()),
        ];
        render(&self.read_window, &values)
    }

    pub(crate) fn horizon(&self, known: Position) -> SqlStr {
        render(&self.horizon, &[("<known>", known.to_string())])
    }

    pub(crate) fn next_position(&self, after: Position, through: Position) -> SqlStr {
        let values = [("<after>", after.to_string()), ("<through>", through.to_string())];
        render(&self.next_position, &values)
    }

    pub(crate) fn uncommitted(&self, after: Position, through: Position, limit: usize) -> SqlStr {
        let values = [
            ("<after>", after.to_string()),
            ("<through>", through.to_string()),
            ("<limit>", limit.to_string()),
        ];
        render(&self.uncommitted, &values)
    }

    pub(crate) fn delete_appenders(&self, connections: &[i64]) -> SqlStr {
        let delete = |id: &i64| self.delete_appender.replace("<connection>", &id.to_string());
        trusted(connections.iter().map(delete).collect::<Vec<_>>().join(";\n"))
    }
}

fn render_append(template: &str, count: usize) -> String {
    let rows = list(std::iter::repeat_n(EVENT_BINDS.to_owned(), count));
    template.replacen("<rows>", &rows, 1)
}

/// Puts values into a template, in the order in which it names them, each as often as it does.
pub(crate) fn render(template: &str, values: &[(&str, String)]) -> SqlStr {
    let mut sql = template.to_owned();
    for (name, value) in values {
        sql = sql.replace(name, value);
    }
    trusted(sql)
}

fn filters(filter: &EventFilter) -> String {
    let mut sql = String::new();
    let columns = [
        ("bounded_context", filter.bounded_contexts()),
        ("aggregate_type", filter.aggregate_types()),
        ("event_type", filter.event_types()),
    ];
    for (column, names) in columns {
        if let Some(names) = names {
            let _ = write!(sql, " and {}", one_of(column, names));
        }
    }
    if filter.partition() != Partition::ALL {
        let (total, index) = (filter.partition().total().get(), filter.partition().index());
        let _ = write!(sql, " and slot % {total} = {index}");
    }
    sql
}

fn one_of(column: &str, names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "false".to_owned();
    }
    // Byte for byte: the columns' collation ignores spaces at the end.
    format!(
        "cast({column} as binary) in ({})",
        list(names.iter().map(|name| bytes(name.as_bytes())))
    )
}

pub(crate) fn list(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join(", ")
}

/// A text as a literal that means the same whatever the session's settings are.
pub(crate) fn text(value: &str) -> String {
    format!("_utf8mb4 {}", bytes(value.as_bytes()))
}

fn bytes(value: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut literal = String::with_capacity(value.len() * 2 + 3);
    literal.push_str("x'");
    for byte in value {
        literal.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
    }
    literal.push('\'');
    literal
}

fn null() -> String {
    "null".to_owned()
}
