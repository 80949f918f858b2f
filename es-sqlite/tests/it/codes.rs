//! Whose fault SQLite's errors are, however they are wrapped, and what a processor makes of them.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use es::{
    AppendError, Cause, Event, EventSource, EventStore, ExpectedVersion, PersistedEvent, Position,
    ProjectionName, StoreError, StreamId, TableNames, TransactionState,
};
use es_sqlite::{SqliteEventStore, SqliteSource, sqlx};
use projection::{
    EventContext, FailurePolicy, HandlerError, Operator, Processor, Projection, Retries,
};
use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Connection, SqliteConnection, SqlitePool};
use tokio_util::sync::CancellationToken;

use crate::harness::{SqliteHarness, migrate};

/// An error of SQLite with any code.
#[derive(Debug)]
struct Coded(i32);

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}", self.0)
    }
}

impl Error for Coded {}

impl DatabaseError for Coded {
    fn message(&self) -> &'static str {
        "a message"
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.0.to_string().into())
    }

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

async fn source(harness: &SqliteHarness) -> SqliteSource {
    let pool = harness.pool(&TableNames::default()).await;
    SqliteSource::new(pool, SqliteEventStore::default())
}

/// By <https://www.sqlite.org/rescode.html>.
#[tokio::test]
async fn every_result_code_is_somebodys_fault() {
    let harness = SqliteHarness::new();
    let source = source(&harness).await;
    let (statement, transaction, server) = (Cause::Statement, Cause::Transaction, Cause::Server);
    let cases: [(&str, &[i32], Cause); 11] = [
        ("ERROR, ERROR_MISSING_COLLSEQ", &[1, 257], statement),
        ("ERROR_RETRY, ERROR_SNAPSHOT, ABORT_ROLLBACK", &[513, 769, 516], transaction),
        ("BUSY, _RECOVERY, _SNAPSHOT, _TIMEOUT", &[5, 261, 517, 773], transaction),
        ("LOCKED, _SHAREDCACHE, _VTAB, PROTOCOL", &[6, 262, 518, 15], transaction),
        ("INTERRUPT, SCHEMA", &[9, 17], transaction),
        (
            "PERM, NOMEM, FULL, NOLFS, AUTH, AUTH_USER, INTERNAL",
            &[3, 7, 13, 22, 23, 279, 2],
            server,
        ),
        ("READONLY and _RECOVERY to _DIRECTORY", &[8, 264, 520, 776, 1032, 1288, 1544], server),
        (
            "IOERR, _READ, _WRITE, _FSYNC, _NOMEM, _SHORT_READ",
            &[10, 266, 778, 1034, 3082, 522],
            server,
        ),
        ("CANTOPEN, _ISDIR, _SYMLINK", &[14, 526, 1550], server),
        ("CORRUPT, _VTAB, _SEQUENCE, _INDEX, NOTADB", &[11, 267, 523, 779, 26], server),
        (
            "ABORT, TOOBIG, CONSTRAINT, _CHECK, _UNIQUE, _TRIGGER, MISMATCH, MISUSE, RANGE",
            &[4, 18, 19, 275, 2067, 1811, 20, 21, 25],
            statement,
        ),
    ];
    for (names, codes, cause) in cases {
        for code in codes {
            let error = sqlx::Error::Database(Box::new(Coded(*code)));
            assert_eq!(source.cause(&error), Some(cause), "{code} of {names}");
        }
    }
    let unknown = sqlx::Error::Database(Box::new(Coded(99)));
    assert_eq!(source.cause(&unknown), Some(server), "what is not known is not the event's fault");
    assert_eq!(source.cause(&fmt::Error), None);
}

/// Forwards everything, so that what it holds is not to be seen: `#[error(transparent)]`.
#[derive(Debug)]
struct Transparent(Box<dyn Error + Send + Sync>);

impl fmt::Display for Transparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Transparent {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Says what was tried, as `context` of `anyhow` does.
#[derive(Debug)]
struct Context(Box<dyn Error + Send + Sync>);

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it did not work")
    }
}

impl Error for Context {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

type Wrap = fn(Box<dyn Error + Send + Sync>) -> Box<dyn Error + Send + Sync>;

#[tokio::test]
async fn a_wrapped_error_is_recognised_three_layers_deep() {
    let harness = SqliteHarness::new();
    let source = source(&harness).await;
    let transparent: Wrap = |error| Box::new(Transparent(error));
    let context: Wrap = |error| Box::new(Context(error));
    let plain: Wrap = |error| error;
    let busy_database = source.begin().await.expect("the writer");
    let impatient = harness.options().busy_timeout(std::time::Duration::ZERO);
    let mut second = SqliteConnection::connect_with(&impatient).await.expect("a connection");
    for layers in 0..27 {
        let wraps = [layers % 3, layers / 3 % 3, layers / 9];
        let wrap = |error: sqlx::Error| {
            let error: Box<dyn Error + Send + Sync> = error.into();
            wraps.iter().fold(error, |error, wrap| [plain, transparent, context][*wrap](error))
        };
        let busy = sqlx::query("insert into projections (name, partition_total) values ('p', 1)");
        let busy = busy.execute(&mut second).await.expect_err("another one writes");
        let mistake = sqlx::query("insert into nowhere values (1)").execute(&mut second).await;
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let cases = [
            (busy, Cause::Transaction),
            (mistake.expect_err("there is no such table"), Cause::Statement),
            (sqlx::Error::PoolTimedOut, Cause::Transaction),
            (sqlx::Error::WorkerCrashed, Cause::Transaction),
            (sqlx::Error::Io(full), Cause::Transaction),
        ];
        for (error, cause) in cases {
            let wrapped = wrap(error);
            // An I/O error says what the machine lacks only if nothing hides whose it is.
            let found = source.cause(&*wrapped);
            assert!(found.is_some_and(|found| found >= cause), "{wraps:?} {wrapped:?}: {found:?}");
            assert!(cause != Cause::Statement || found == Some(cause), "{wraps:?} {wrapped:?}");
        }
    }
    source.rollback(busy_database).await.expect("rolled back");
}

fn stream(id: &str) -> StreamId {
    StreamId::new("Test", "Thing", id).expect("a valid name")
}

async fn append(pool: &SqlitePool, count: i64) {
    let store = SqliteEventStore::default();
    for number in 0..count {
        let event = [Event::json("Happened", &number).expect("a valid event")];
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.expect("begun");
        let stream = stream(&format!("s{number}"));
        store.append(&mut tx, &stream, ExpectedVersion::Any, &event).await.expect("appended");
        tx.commit().await.expect("committed");
    }
}

/// Writes large rows, and wraps its errors so that only what they were caused by shows.
#[derive(Default)]
struct Large {
    failures: AtomicUsize,
}

impl Projection for Large {
    type Connection = SqliteConnection;

    fn name(&self) -> &ProjectionName {
        static NAME: ProjectionName = ProjectionName::from_static("large");
        &NAME
    }

    fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy::Park(Retries::new(1.try_into().expect("it is not zero")))
    }

    async fn handle(
        &self,
        conn: &mut SqliteConnection,
        _event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        let insert = sqlx::query("insert into large values (zeroblob(100000))");
        let inserted = insert.execute(conn).await;
        if inserted.is_err() {
            self.failures.fetch_add(1, Ordering::SeqCst);
        }
        inserted.map_err(|error| Transparent(Transparent(error.into()).into()))?;
        Ok(())
    }
}

/// Until there is room again every event fails, and none is to blame.
#[tokio::test]
async fn a_full_disk_is_waited_for() {
    let harness = SqliteHarness::new();
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(harness.options()).await;
    let pool = pool.expect("a file in a new directory opens");
    migrate(&pool, &TableNames::default()).await;
    sqlx::raw_sql("create table large (bytes blob)").execute(&pool).await.expect("a table");
    append(&pool, 6).await;
    let source = Arc::new(SqliteSource::new(pool.clone(), SqliteEventStore::default()));
    let large = Arc::new(Large::default());
    sqlx::raw_sql("pragma max_page_count = 1").execute(&pool).await.expect("the disk is full");
    let processor = Processor::new(Arc::clone(&source)).with_projection(Arc::clone(&large));
    let run =
        tokio::spawn(async move { processor.run_until_caught_up(CancellationToken::new()).await });
    while large.failures.load(Ordering::SeqCst) < 4 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let lift = "pragma max_page_count = 4294967294";
    sqlx::raw_sql(lift).execute(&pool).await.expect("there is room again");
    run.await.expect("no panic").expect("it goes on");
    let rows: i64 =
        sqlx::query_scalar("select count(*) from large").fetch_one(&pool).await.expect("counted");
    assert_eq!(rows, 6);
    let letters = Operator::new(&*source).dead_letters(large.name(), Position::START, 10).await;
    assert_eq!(letters.expect("listed"), [], "no event is parked");
}

#[tokio::test]
async fn a_file_that_is_read_only_cannot_or_is_damaged_is_not_the_events_fault() {
    let harness = SqliteHarness::new();
    append(&harness.pool(&TableNames::default()).await, 3).await;
    let store = SqliteEventStore::default();
    let read_only = harness.options().read_only(true);
    let pool = SqlitePoolOptions::new().connect_with(read_only).await.expect("it opens");
    let source = SqliteSource::new(pool, store.clone());
    let mut tx = source.begin().await.expect("begun");
    let event = [Event::json("Happened", &1).expect("a valid event")];
    let appended = store.append(&mut tx, &stream("a"), ExpectedVersion::Any, &event).await;
    let Err(AppendError::Store(error)) = appended else { panic!("{appended:?}") };
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(error.transaction(), Some(TransactionState::MustRollBack));
    source.rollback(tx).await.expect("rolled back");
    source.release(source.acquire().await.expect("it can be read"));

    let elsewhere = harness.options().filename("/nowhere/at/all.db");
    let pool = SqlitePoolOptions::new().connect_lazy_with(elsewhere);
    let acquired = SqliteSource::new(pool, store.clone()).acquire().await;
    let acquired = acquired.expect_err("there is no such directory");
    assert!(matches!(acquired, StoreError::Unavailable { .. }), "{acquired:?}");

    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("damaged.db");
    std::fs::write(&file, vec![7; 10_000]).expect("written");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let pool = SqlitePoolOptions::new().connect_lazy_with(options);
    let acquired = SqliteSource::new(pool, store).begin().await;
    let damaged = acquired.expect_err("it is no database");
    assert!(matches!(damaged, StoreError::Damaged { .. }), "{damaged:?}");
    assert_eq!(damaged.cause(), Some(Cause::Server));
    assert!(!damaged.is_retryable() && damaged.to_string().contains("restore"), "{damaged}");
}
