//! Every kind of connection a caller may have, and what happens when two of them write.

use std::sync::Arc;

use es::{
    AppendError, Event, EventSource, EventStore, ExpectedVersion, PersistedEvent, ProjectionName,
    StoreError, StreamId, TableNames, TransactionState, Version,
};
use es_sqlite::{SqliteEventStore, SqliteSource, sqlx};
use projection::{EventContext, HandlerError, Operator, Processor, Projection};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Connection, SqliteConnection};
use tokio_util::sync::CancellationToken;

use crate::harness::{SqliteHarness, migrate};

fn stream() -> StreamId {
    StreamId::new("Test", "Thing", "a").expect("a valid name")
}

fn event() -> [Event; 1] {
    [Event::json("Happened", &1).expect("a valid event")]
}

#[tokio::test]
async fn appends_on_a_plain_connection_a_pooled_one_and_a_transaction() {
    let harness = SqliteHarness::new();
    let pool = harness.pool(&TableNames::default()).await;
    let store = SqliteEventStore::default();
    let any = ExpectedVersion::Any;

    let mut plain = SqliteConnection::connect_with(&harness.options()).await.expect("a connection");
    store.append(&mut plain, &stream(), any, &event()).await.expect("on a plain connection");
    let mut pooled = pool.acquire().await.expect("a pooled connection");
    store.append(&mut pooled, &stream(), any, &event()).await.expect("on a pooled connection");
    let mut tx = plain.begin_with("BEGIN IMMEDIATE").await.expect("a transaction");
    store.append(&mut tx, &stream(), any, &event()).await.expect("in a transaction");
    let mut savepoint = tx.begin().await.expect("a nested transaction");
    store.append(&mut savepoint, &stream(), any, &event()).await.expect("in a savepoint");
    savepoint.rollback().await.expect("the savepoint is undone");
    tx.commit().await.expect("the transaction commits");

    let version = store.stream_version(&mut pooled, &stream()).await.expect("a version");
    assert_eq!(version, Version::from(3));
}

#[tokio::test]
async fn appends_to_a_database_in_memory_with_a_pool_of_one() {
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(SqliteConnectOptions::new().in_memory(true))
        .await
        .expect("a database in memory");
    migrate(&pool, &TableNames::default()).await;
    let source = SqliteSource::new(pool, SqliteEventStore::default());
    let mut tx = source.begin().await.expect("a transaction");
    let store = source.store();
    let result = store.append(&mut tx, &stream(), ExpectedVersion::NoStream, &event()).await;
    assert_eq!(result.expect("the append succeeds").to_version(), Version::FIRST);
    source.commit(tx).await.expect("the transaction commits");
    let mut conn = source.acquire().await.expect("the one connection");
    assert_eq!(store.read_stream(&mut conn, &stream(), ..).await.expect("a read").len(), 1);
}

#[tokio::test]
async fn two_stores_share_a_database_under_other_names() {
    let harness = SqliteHarness::new();
    let name = |name: &str| name.parse().expect("a table name");
    let other = TableNames::default()
        .with_events(name("order"))
        .with_projections(name("Group"))
        .with_checkpoints(name("select"));
    let pool = harness.pool(&TableNames::default()).await;
    migrate(&pool, &other).await;
    let (first, second) = (SqliteEventStore::default(), SqliteEventStore::new(&other));
    let mut conn = pool.acquire().await.expect("a connection");
    first.check_schema(&mut conn).await.expect("the schema is there");
    second.check_schema(&mut conn).await.expect("the schema is there");

    let no_stream = ExpectedVersion::NoStream;
    first.append(&mut conn, &stream(), no_stream, &event()).await.expect("the first store");
    assert!(second.read_stream(&mut conn, &stream(), ..).await.expect("a read").is_empty());
    second.append(&mut conn, &stream(), no_stream, &event()).await.expect("the second store");
    let horizon = second.horizon(&mut conn, es::Position::START).await.expect("a horizon");
    assert_eq!(horizon.position.get(), 1);
}

/// A deferred transaction that has read cannot become a writer after another one wrote.
#[tokio::test]
async fn a_deferred_transaction_that_lost_its_turn_is_retryable() {
    let harness = SqliteHarness::new();
    let pool = harness.pool(&TableNames::default()).await;
    let store = SqliteEventStore::default();
    let mut deferred = pool.begin().await.expect("a transaction");
    store.stream_version(&mut deferred, &stream()).await.expect("it reads first");
    let mut other = pool.acquire().await.expect("a connection");
    store.append(&mut other, &stream(), ExpectedVersion::Any, &event()).await.expect("another");

    let error = store
        .append(&mut deferred, &stream(), ExpectedVersion::Any, &event())
        .await
        .expect_err("the snapshot is old");
    assert!(error.is_retryable(), "{error:?}");
    let AppendError::Store(error) = error else { panic!("{error:?}") };
    assert_eq!(error.transaction(), Some(TransactionState::MustRollBack));
    let StoreError::Retryable { source, .. } = error else { panic!("{error:?}") };
    assert!(source.to_string().contains("BEGIN IMMEDIATE"), "{source}");
}

#[tokio::test]
async fn a_busy_database_is_retryable_for_a_handler_too() {
    let harness = SqliteHarness::new();
    let pool = harness.pool(&TableNames::default()).await;
    let _writer = pool.begin_with("BEGIN IMMEDIATE").await.expect("the writer");
    let impatient = harness.options().busy_timeout(std::time::Duration::ZERO);
    let mut second = SqliteConnection::connect_with(&impatient).await.expect("a connection");
    let error = sqlx::query("insert into projections (name, partition_total) values ('p', 1)")
        .execute(&mut second)
        .await
        .expect_err("another one writes");
    let source = SqliteSource::new(pool.clone(), SqliteEventStore::default());
    let handler_error: Box<dyn std::error::Error + Send + Sync> = error.into();
    assert_eq!(source.cause(handler_error.as_ref()), Some(es::Cause::Transaction));
    let mistake = sqlx::query("insert into nowhere values (1)").execute(&mut second).await;
    assert_eq!(
        source.cause(&mistake.expect_err("there is no such table")),
        Some(es::Cause::Statement)
    );
}

/// Swallows an error that has ended the transaction, and goes on.
struct Careless;

impl Projection for Careless {
    type Connection = SqliteConnection;

    fn name(&self) -> &ProjectionName {
        static NAME: ProjectionName = ProjectionName::from_static("careless");
        &NAME
    }

    async fn handle(
        &self,
        conn: &mut SqliteConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        let insert = "insert or rollback into effects values (?)";
        // Position 3 is there already, so this statement rolls the whole transaction back.
        let _ = sqlx::query(insert).bind(event.position().get()).execute(conn).await;
        Ok(())
    }
}

#[tokio::test]
async fn a_checkpoint_is_not_saved_outside_the_transaction_of_its_effects() {
    let harness = SqliteHarness::new();
    let pool = harness.pool(&TableNames::default()).await;
    let setup =
        "create table effects (position integer primary key); insert into effects values (3)";
    sqlx::raw_sql(setup).execute(&pool).await.expect("a table");
    let source = SqliteSource::new(pool.clone(), SqliteEventStore::default());
    let mut conn = pool.acquire().await.expect("a connection");
    for _ in 0..5 {
        let store = source.store();
        let appended = store.append(&mut conn, &stream(), ExpectedVersion::Any, &event()).await;
        appended.expect("appended");
    }
    drop(conn);
    let source = Arc::new(source);
    let processor = Processor::new(Arc::clone(&source)).with_projection(Careless);
    let error = processor.run_until_caught_up(CancellationToken::new()).await;
    error.expect_err("the transaction has ended");
    let lag = Operator::new(&*source).lag(Careless.name()).await.expect("the lag");
    assert_eq!(lag[0].checkpoint, es::Position::START, "what is lost is handled again");
}

/// A connection that begins to write keeps everybody else from it, so that nobody fails half-way.
#[tokio::test]
async fn a_source_begins_as_a_writer() {
    let harness = SqliteHarness::new();
    let pool = harness.pool(&TableNames::default()).await;
    let _held = SqliteSource::new(pool, SqliteEventStore::default()).begin().await.expect("begun");
    let impatient = harness.options().busy_timeout(std::time::Duration::ZERO);
    let pool = SqlitePoolOptions::new().connect_with(impatient).await.expect("a pool");
    let second = SqliteSource::new(pool, SqliteEventStore::default()).begin().await;
    assert!(second.expect_err("another one writes").is_retryable());
}
