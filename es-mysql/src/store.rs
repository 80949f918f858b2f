//! The event store on a MySQL or MariaDB connection.

use chrono::{DateTime, Utc};
use es::adapter::EventLog;
use std::sync::Arc;

use es::adapter::PerStatement;
use es::adapter::{
    AppendStatements, ExistingEvent, InsertedEvents, Insertion, ReadWindow, SharedStrings,
    WindowEvents, append_guarded,
};
use es::{
    AppendError, AppendResult, Event, EventFilter, ExpectedVersion, Horizon, Position, StoreError,
    Stream, StreamId, TableNames, TransactionState, Version, VersionRange,
};
use futures_util::TryStreamExt;
use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::query::Query;
use sqlx::{Connection, MySql, MySqlConnection, Row, SqlStr};
use tracing::warn;

use crate::error::{is_duplicate, is_taken_id, is_taken_version, store_error};
use crate::horizon::{Poll, Scan, Scanned, visible};
use crate::record;
use crate::rows::{self, Numbered};
use crate::schema;
use crate::size::{check_packet, fits_text};
use crate::statements::Statements;

/// How many positions one look at the uncommitted events covers.
const SCAN_POSITIONS_MAX: usize = 10_000;

/// How many such looks there are at most: one horizon takes so long. What lies beyond is looked at
/// when it is asked for the next time.
const SCANS_MAX: usize = 20;

/// Versions beyond this were not counted by appends: there are four billion more.
const VERSION_MAX: i64 = i64::MAX - (1 << 32);

/// A stretch of positions without events that is no shorter is passed at once.
const HOLE_POSITIONS_MIN: u64 = 100_000;

/// How many unused announcements there may be before a reader removes them.
const UNUSED_APPENDERS_MAX: usize = 200;

/// An event store on MySQL or MariaDB. Holds no connection; cloning is cheap.
#[derive(Debug, Clone)]
pub struct MySqlEventStore {
    statements: Arc<Statements>,
    pub(crate) projections: Arc<PerStatement<Numbered>>,
}

impl MySqlEventStore {
    /// A store whose tables have these names. A schema, in MySQL's words, is a database.
    pub fn new(tables: &TableNames) -> Self {
        MySqlEventStore {
            statements: Arc::new(Statements::new(tables)),
            projections: rows::statements(tables),
        }
    }

    /// What a statement's failure means to the caller's transaction. After a lock wait timeout it
    /// goes on, unless the server is set up to end it.
    async fn append_error(&self, conn: &mut MySqlConnection, error: sqlx::Error) -> StoreError {
        match store_error(error) {
            StoreError::Retryable { transaction: TransactionState::Usable, source } => {
                let check = sqlx::raw_sql(self.statements.check_transaction.clone());
                let transaction = match check.execute(conn).await {
                    Ok(_) => TransactionState::Usable,
                    Err(_) => TransactionState::Ended,
                };
                StoreError::Retryable { transaction, source }
            }
            error => error,
        }
    }

    /// What an append has to know before it inserts, and the announcement that it will.
    async fn prepare_append(
        &self,
        conn: &mut MySqlConnection,
        stream: &StreamId,
        expected: ExpectedVersion,
    ) -> Result<Prepared, StoreError> {
        let row = sqlx::raw_sql(self.statements.prepare_append(stream, expected))
            .fetch_one(&mut *conn)
            .await;
        match row {
            Ok(row) => Prepared::from_row(&row),
            Err(error) => Err(self.append_error(conn, error).await),
        }
    }

    /// Through where a stretch of positions holds nothing that is not committed, as far as it was
    /// looked at.
    async fn scan(
        &self,
        conn: &mut MySqlConnection,
        mut scan: Scan,
    ) -> Result<Position, StoreError> {
        for _ in 0..SCANS_MAX {
            let (limit, after, through) = (SCAN_POSITIONS_MAX, scan.after, scan.through);
            let sql = self.statements.uncommitted(after, through, limit);
            let rows = fetch_alone(&mut *conn, sql).await?;
            match scan.look_at_rows(&rows, limit)? {
                Scanned::EndsAt(position) => return Ok(position),
                Scanned::GoesOn(rest) => scan = rest,
            }
        }
        Ok(scan.after)
    }

    /// Through where the log is complete though it ends before, because its last events were
    /// deleted.
    async fn complete_through(
        &self,
        conn: &mut MySqlConnection,
        poll: &Poll,
        known: Position,
    ) -> Result<Position, StoreError> {
        let known = if known == Position::START && poll.is_tail_missing() {
            let checkpoints = fetch_alone(conn, self.statements.checkpoint_end.clone()).await;
            match checkpoints {
                Ok(rows) => position(first_value(&rows)?)?,
                Err(error @ StoreError::ConnectionLost { .. }) => return Err(error),
                // A reader of the log alone may have no right to the checkpoints.
                Err(_) => Position::START,
            }
        } else {
            known
        };
        Ok(if poll.ends_before(known) { known } else { Position::START })
    }

    /// Removes announcements that nobody has used for an hour, a thousand at most.
    async fn remove_unused_appenders(&self, conn: &mut MySqlConnection) -> Result<(), StoreError> {
        // Whatever the session's default is.
        let begin = "set transaction isolation level read committed; start transaction read write";
        let mut tx = conn.begin_with(begin).await.map_err(store_error)?;
        let rows = fetch_all(&mut tx, self.statements.unused_appenders.clone()).await?;
        let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>();
        let ids = ids.map_err(store_error)?;
        if !ids.is_empty() {
            let delete = sqlx::raw_sql(self.statements.delete_appenders(&ids));
            delete.execute(&mut *tx).await.map_err(store_error)?;
        }
        tx.commit().await.map_err(store_error)
    }
}

impl Default for MySqlEventStore {
    /// A store whose tables have the default names.
    fn default() -> Self {
        MySqlEventStore::new(&TableNames::default())
    }
}

impl EventLog for MySqlEventStore {
    type Connection = MySqlConnection;

    async fn append_valid(
        &self,
        conn: &mut MySqlConnection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<AppendResult, AppendError> {
        append_guarded(self, conn, stream, expected, events).await
    }

    async fn version_of(
        &self,
        conn: &mut MySqlConnection,
        stream: &StreamId,
    ) -> Result<Version, StoreError> {
        let row = sqlx::query(self.statements.stream_version.clone())
            .bind(stream.bounded_context().as_bytes())
            .bind(stream.aggregate_type().as_bytes())
            .bind(stream.aggregate_id().as_bytes())
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        row.map_or(Ok(Version::NONE), |row| record::number(&row, 0))
    }

    async fn events_of(
        &self,
        conn: &mut MySqlConnection,
        stream: &StreamId,
        versions: VersionRange,
    ) -> Result<Stream, StoreError> {
        let rows = sqlx::query(self.statements.read_stream.clone())
            .bind(stream.bounded_context().as_bytes())
            .bind(stream.aggregate_type().as_bytes())
            .bind(stream.aggregate_id().as_bytes())
            .bind(versions.first().get())
            .bind(versions.last().get())
            .fetch_all(conn)
            .await
            .map_err(store_error)?;
        let events = record::events(&rows)?;
        if let Some(other) = events.iter().find(|event| event.stream() != stream) {
            // The collation ignores spaces at the end, with which no append lets a name end.
            return Err(StoreError::corrupt(format!(
                "event {} of stream {:?}, whose name differs from that of {stream} by spaces only",
                other.position(),
                other.stream().to_string()
            )));
        }
        Ok(Stream::new(stream.clone(), events))
    }

    async fn horizon_after(
        &self,
        conn: &mut MySqlConnection,
        known: Position,
    ) -> Result<Horizon, StoreError> {
        let rows = fetch_alone(&mut *conn, self.statements.horizon(known)).await?;
        let poll = Poll::from_rows(&rows)?;
        if poll.unused() > UNUSED_APPENDERS_MAX
            && let Err(error) = self.remove_unused_appenders(&mut *conn).await
        {
            // Perhaps this reader may not. Polls cost more until another one has.
            let error: &dyn std::error::Error = &error;
            warn!(error, "cannot remove the announcements of connections that are gone");
        }
        let complete_through = self.complete_through(&mut *conn, &poll, known).await?;
        let outlook = poll.outlook(known);
        let scanned_through = match outlook.scan {
            Some(scan) => self.scan(conn, scan).await?,
            None => Position::MAX,
        };
        Ok(outlook.horizon(scanned_through, complete_through))
    }

    /// A stretch without events is passed at once, however long it is.
    async fn empty_through(
        &self,
        conn: &mut MySqlConnection,
        after: Position,
        through: Position,
    ) -> Result<Position, StoreError> {
        let sql = self.statements.next_position(after, through);
        let next: Option<i64> = first_value(&fetch_alone(conn, sql).await?)?;
        let empty_through = match next {
            Some(next) => position(next)?.previous(),
            None => through,
        };
        let is_worth_it = empty_through.distance_from(after) >= HOLE_POSITIONS_MIN;
        Ok(if is_worth_it { empty_through } else { after })
    }

    async fn window(
        &self,
        conn: &mut MySqlConnection,
        window: ReadWindow,
        filter: &EventFilter,
    ) -> Result<WindowEvents, StoreError> {
        let sql = self.statements.read_window(window, filter);
        match collect_window(&mut *conn, sql, window).await {
            Err(error @ StoreError::UnsafeRead { .. }) => Err(error),
            Err(error) => {
                leave_nothing_behind(conn).await;
                Err(error)
            }
            read => read,
        }
    }

    async fn check_tables(&self, conn: &mut MySqlConnection) -> Result<(), StoreError> {
        self.statements.check_schema.run(conn, es::adapter::check_schema).await
    }

    async fn check_log_tables(&self, conn: &mut MySqlConnection) -> Result<(), StoreError> {
        self.statements.check_schema.run(conn, es::adapter::check_log_schema).await
    }

    async fn first_position_since(
        &self,
        conn: &mut MySqlConnection,
        time: DateTime<Utc>,
    ) -> Result<Option<Position>, StoreError> {
        let row = sqlx::query(self.statements.first_position_since.clone())
            .bind(time.naive_utc())
            .fetch_optional(conn)
            .await
            .map_err(store_error)?;
        row.map(|row| record::number(&row, 0)).transpose()
    }
}

/// The values of each event.
fn bind_events<'q>(
    mut insert: Query<'q, MySql, MySqlArguments>,
    stream: &'q StreamId,
    first_version: Version,
    events: &'q [Event],
) -> Query<'q, MySql, MySqlArguments> {
    for (index, event) in events.iter().enumerate() {
        insert = insert
            .bind(stream.bounded_context())
            .bind(stream.aggregate_type())
            .bind(stream.aggregate_id())
            .bind(first_version.saturating_add(index).get())
            .bind(stream.slot().get())
            .bind(event.id())
            .bind(event.event_type())
            .bind(event.event_version())
            .bind(event.payload())
            .bind(event.metadata())
            .bind(event.correlation_id())
            .bind(event.causation_id())
            .bind(event.trace_id())
            .bind(event.created_at().naive_utc());
    }
    insert
}

impl AppendStatements for MySqlEventStore {
    async fn insert_events(
        &self,
        conn: &mut MySqlConnection,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: &[Event],
    ) -> Result<Insertion, StoreError> {
        let prepared = self.prepare_append(&mut *conn, stream, expected).await?;
        if !expected.accepts(prepared.version) {
            return Ok(Insertion::Rejected);
        }
        let bytes = check_packet(stream, events, prepared.packet_bytes_max)?;
        let first_version = prepared.version.next();
        let inserted = match self.statements.prepared_append(events.len()) {
            Some(sql) => {
                let insert = sqlx::query(sql);
                bind_events(insert, stream, first_version, events).execute(&mut *conn).await
            }
            // sqlx does not set TCP_NODELAY, and a statement that is closed after its use has no
            // answer: the command behind it waits for a delayed acknowledgement, 40 ms.
            None if fits_text(bytes, prepared.packet_bytes_max) => {
                let insert = self.statements.append_text(stream, first_version, events);
                sqlx::raw_sql(insert).execute(&mut *conn).await
            }
            None => {
                let insert = self.statements.unprepared_append(events.len());
                let insert = sqlx::query(insert).persistent(false);
                bind_events(insert, stream, first_version, events).execute(&mut *conn).await
            }
        };
        match inserted {
            Ok(inserted) => prepared.written(inserted.last_insert_id(), events.len()),
            Err(error) if is_taken_version(&error) => Ok(Insertion::VersionTaken(first_version)),
            Err(error) if is_taken_id(&error) => Ok(Insertion::Rejected),
            Err(error) if is_duplicate(&error) => Err(StoreError::corrupt(format!(
                "an insert was given a position that is taken, so the counter of the events \
                 table was set back: {error}"
            ))),
            Err(error) => Err(self.append_error(conn, error).await),
        }
    }

    async fn existing_events(
        &self,
        conn: &mut MySqlConnection,
        events: &[Event],
    ) -> Result<Vec<ExistingEvent>, StoreError> {
        let rows = sqlx::raw_sql(self.statements.existing_events(events)).fetch_all(&mut *conn);
        let rows = match rows.await {
            Ok(rows) => rows,
            Err(error) => return Err(self.append_error(conn, error).await),
        };
        rows.iter().map(record::existing_event).collect()
    }
}

/// The row of `prepare_append.sql`.
struct Prepared {
    version: Version,
    /// The distance between positions that are drawn together.
    increment: u64,
    packet_bytes_max: usize,
}

impl Prepared {
    fn from_row(row: &MySqlRow) -> Result<Prepared, StoreError> {
        schema::check_session(row.try_get(3).map_err(store_error)?)?;
        let isolation: &str = row.try_get(4).map_err(store_error)?;
        if isolation.eq_ignore_ascii_case("read-uncommitted") {
            let reason = "it is in READ UNCOMMITTED, where an append counts on versions that may \
                          be rolled back: use READ COMMITTED";
            return Err(StoreError::UnsafeRead { reason: reason.to_owned() });
        }
        let positive = |column| {
            let number: i64 = row.try_get(column).map_err(store_error)?;
            u64::try_from(number)
                .map_err(|_| StoreError::corrupt(format!("a setting of {number} that is positive")))
        };
        let packet_bytes_max = usize::try_from(positive(2)?).unwrap_or(usize::MAX);
        let version: Version = record::number(row, 0)?;
        if version.get() > VERSION_MAX {
            return Err(StoreError::corrupt(format!(
                "a stream at version {version}, which no append has given it"
            )));
        }
        Ok(Prepared { version, increment: positive(1)?, packet_bytes_max })
    }

    /// The positions of an insert of `count` rows. InnoDB draws them at once, so they are
    /// `increment` apart, whatever other appenders do and whatever the lock mode is:
    /// <https://dev.mysql.com/doc/refman/8.0/en/innodb-auto-increment-handling.html>.
    fn written(&self, first: u64, count: usize) -> Result<Insertion, StoreError> {
        let corrupt = || StoreError::corrupt(format!("an insert at position {first}"));
        let first = Position::try_from(i64::try_from(first).map_err(|_| corrupt())?);
        let first = first.map_err(|_| corrupt())?;
        let positions = (0..count as u64)
            .map(|index| first.saturating_add(index.saturating_mul(self.increment)))
            .collect();
        let first_version = self.version.next();
        Ok(Insertion::Written(InsertedEvents { first_version, positions }))
    }
}

/// The first value of the only row.
fn first_value<'r, T>(rows: &'r [MySqlRow]) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, MySql> + sqlx::Type<MySql>,
{
    let row = rows.first().ok_or_else(|| StoreError::corrupt("an answer without a row"))?;
    row.try_get(0).map_err(store_error)
}

fn position(number: i64) -> Result<Position, StoreError> {
    let corrupt = |number| StoreError::corrupt(format!("a negative position, {number}"));
    Position::try_from(number).map_err(corrupt)
}

/// As [`fetch_all`], for a text that begins and ends transactions of its own.
async fn fetch_alone(conn: &mut MySqlConnection, sql: SqlStr) -> Result<Vec<MySqlRow>, StoreError> {
    match fetch_all(&mut *conn, sql).await {
        // It begins by asking for an isolation level, which is refused inside a transaction: that
        // is the caller's, and goes on.
        Err(error @ StoreError::UnsafeRead { .. }) => Err(error),
        Err(error) => {
            leave_nothing_behind(conn).await;
            Err(error)
        }
        Ok(rows) => Ok(rows),
    }
}

/// Neither an open transaction nor a level that waits for the next one may stay behind. If the
/// connection is lost there is nothing to undo, and the error that led here says so.
async fn leave_nothing_behind(conn: &mut MySqlConnection) {
    let _ = sqlx::raw_sql("rollback and no chain no release").execute(conn).await;
}

/// The rows of `read_window.sql`. Once there are enough the rest is read and dropped, as the server
/// sends them all: a reader asks for fewer the next time.
async fn collect_window(
    conn: &mut MySqlConnection,
    sql: SqlStr,
    window: ReadWindow,
) -> Result<WindowEvents, StoreError> {
    let mut rows = sqlx::raw_sql(sql).fetch(conn);
    let Some(first) = rows.try_next().await.map_err(store_error)? else {
        return Err(StoreError::corrupt("a read without its first row"));
    };
    let checked = visible(&first).and_then(|visible| window.check_snapshot(visible));
    let (mut shared, mut events) = (SharedStrings::default(), WindowEvents::new(window));
    let mut outcome = checked.map(|()| true);
    while let Some(row) = rows.try_next().await.map_err(store_error)? {
        if matches!(outcome, Ok(true)) {
            outcome = record::event(&row, &mut shared).map(|event| events.push(event));
        }
    }
    outcome.map(|_| events)
}

/// Runs statements that are sent as text, and gives the rows of all of them.
async fn fetch_all(conn: &mut MySqlConnection, sql: SqlStr) -> Result<Vec<MySqlRow>, StoreError> {
    sqlx::raw_sql(sql).fetch_all(conn).await.map_err(store_error)
}
