//! Whose fault an error is: by the code of the server's own error, however it is wrapped.

use std::error::Error;
use std::time::Duration;

use es::conformance::Fixture;
use es::{Cause, EventSource, StoreError, TransactionState};
use es_postgres::sqlx::{self, AssertSqlSafe, PgConnection};
use es_postgres::{PgSource, sqlx::postgres::PgPoolOptions};

use crate::harness::{PgHarness, execute};

/// What a service makes of an error of the driver.
#[derive(Debug, thiserror::Error)]
enum Hidden {
    #[error(transparent)]
    Driver(#[from] sqlx::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Again(Box<Hidden>),
    #[error(transparent)]
    Anyhow(#[from] anyhow::Error),
}

#[derive(Debug, thiserror::Error)]
#[error("the read model could not be written")]
struct Context(#[source] Hidden);

type BoxError = Box<dyn Error + Send + Sync>;

/// The ways in which a service hands on an error, up to three deep.
const WRAPPED: [fn(sqlx::Error) -> BoxError; 9] = [
    |error| error.into(),
    |error| Hidden::Driver(error).into(),
    |error| Hidden::Again(Box::new(Hidden::Again(Box::new(Hidden::Driver(error))))).into(),
    |error| Context(Hidden::Again(Box::new(Hidden::Driver(error)))).into(),
    |error| anyhow::Error::new(error).into(),
    |error| anyhow::Error::new(error).context("while projecting").into(),
    |error| Hidden::Anyhow(anyhow::Error::new(Hidden::Driver(error)).context("twice")).into(),
    |error| Hidden::Store(StoreError::database(error)).into(),
    |error| anyhow::Error::new(Context(Hidden::Driver(error))).into(),
];

/// Codes with what they say; a class is held by one that the library does not know by itself.
const CODES: [(&str, Cause); 42] = [
    ("08000", Cause::Transaction),
    ("08006", Cause::Transaction),
    ("08P01", Cause::Transaction),
    ("0A000", Cause::Statement),
    ("22003", Cause::Statement),
    ("22012", Cause::Statement),
    ("23505", Cause::Statement),
    ("23514", Cause::Statement),
    ("25001", Cause::Statement),
    ("25006", Cause::Server),
    ("25P02", Cause::Transaction),
    ("25P03", Cause::Transaction),
    ("25P04", Cause::Transaction),
    ("28000", Cause::Server),
    ("40001", Cause::Transaction),
    ("40003", Cause::Transaction),
    ("40P01", Cause::Transaction),
    ("40777", Cause::Transaction),
    ("42501", Cause::Server),
    ("42601", Cause::Statement),
    ("42804", Cause::Statement),
    ("42P01", Cause::Statement),
    ("53000", Cause::Server),
    ("53100", Cause::Server),
    ("53200", Cause::Server),
    ("53300", Cause::Transaction),
    ("53400", Cause::Server),
    ("53777", Cause::Server),
    ("54000", Cause::Statement),
    ("55000", Cause::Statement),
    ("55006", Cause::Transaction),
    ("55P03", Cause::Transaction),
    ("57014", Cause::Transaction),
    ("57P01", Cause::Transaction),
    ("57P02", Cause::Transaction),
    ("57P03", Cause::Server),
    ("57P05", Cause::Transaction),
    ("58030", Cause::Server),
    ("F0000", Cause::Server),
    ("P0001", Cause::Statement),
    ("SHOP1", Cause::Statement),
    ("XX001", Cause::Server),
];

async fn raised(conn: &mut PgConnection, code: &str) -> sqlx::Error {
    let raise = format!("do $$ begin raise 'simulated' using errcode = '{code}'; end $$");
    sqlx::raw_sql(AssertSqlSafe(raise)).execute(conn).await.expect_err("raised")
}

fn assert_cause(source: &PgSource, make: impl Fn() -> sqlx::Error, expected: Cause, what: &str) {
    for (way, wrap) in WRAPPED.iter().enumerate() {
        let error = wrap(make());
        assert_eq!(
            source.cause(&*error),
            Some(expected),
            "{what}, wrapped in way {way}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_wrapped_database_error_is_not_the_events_fault() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut conn = store.conn().await;
    for (code, expected) in CODES {
        for (way, wrap) in WRAPPED.iter().enumerate() {
            let error = wrap(raised(&mut conn, code).await);
            assert_eq!(
                store.source.cause(&*error),
                Some(expected),
                "{code}, in way {way}: {error:?}"
            );
        }
        let error = raised(&mut conn, code).await.into_database_error().expect("the server's");
        assert_eq!(store.source.cause(&error), Some(expected), "{code}: {error:?}");
    }
    let io = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
    assert_cause(&store.source, io, Cause::Transaction, "io");
    for unit in
        [|| sqlx::Error::PoolTimedOut, || sqlx::Error::PoolClosed, || sqlx::Error::WorkerCrashed]
    {
        assert_cause(&store.source, unit, Cause::Transaction, &unit().to_string());
    }
    let none: BoxError = "the customer is unknown".into();
    assert_eq!(store.source.cause(&*none), None);
}

#[tokio::test]
async fn an_error_of_the_store_says_what_the_caller_can_do() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut conn = store.conn().await;
    let fails = "create function fail() returns trigger language plpgsql as $$
        begin raise 'simulated' using errcode = tg_argv[0]; end $$";
    execute(&mut conn, fails).await.expect("a function");
    for (code, expected) in CODES {
        let trigger = format!(
            "create or replace trigger t before insert on events
             for each row execute function fail('{code}')"
        );
        sqlx::raw_sql(AssertSqlSafe(trigger)).execute(&mut *conn).await.expect("a trigger");
        let stream = es::StreamId::new("Test", "Thing", "a").expect("a valid name");
        let event = [es::Event::json("Happened", &1).expect("a valid event")];
        let any = es::ExpectedVersion::Any;
        let error = store.append_in(&mut conn, &stream, any, &event).await.expect_err("it fails");
        let es::AppendError::Store(error) = error else { panic!("{error:?}") };
        // An aborted transaction is the caller's doing; it is told what it hid by who asks.
        let is_retryable = expected > Cause::Statement && code != "25P02";
        assert_eq!(error.is_retryable(), is_retryable, "{code}: {error:?}");
        let is_server =
            matches!(error, StoreError::Unavailable { .. } | StoreError::MissingRight { .. });
        assert_eq!(is_server, expected == Cause::Server, "{code}: {error:?}");
    }
    assert!(store.log().await.is_empty());
}

#[tokio::test]
async fn a_probe_tells_a_transaction_that_can_go_on_from_one_that_cannot() {
    let store = Fixture::new(PgHarness::new()).await;
    let mut tx = store.begin().await;
    store.source.probe(&mut tx).await.expect("it can go on");
    execute(&mut tx, "select 1 / 0").await.expect_err("a mistake that is swallowed");
    let error = store.source.probe(&mut tx).await.expect_err("it is aborted");
    assert_eq!(error.cause(), Some(Cause::Transaction), "{error:?}");
    assert_eq!(error.transaction(), Some(TransactionState::MustRollBack));
    store.source.rollback(tx).await.expect("rolled back");

    let mut tx = store.begin().await;
    execute(&mut tx, "select pg_terminate_backend(pg_backend_pid())").await.expect_err("ended");
    let error = store.source.probe(&mut tx).await.expect_err("it is lost");
    assert!(matches!(error, StoreError::ConnectionLost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_pool_without_a_free_connection_says_so() {
    let store = Fixture::new(PgHarness::new()).await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(2))
        .connect_with(store.harness.options())
        .await
        .expect("a pool");
    let source = PgSource::new(pool, store.harness.store());
    let mut tx = source.begin().await.expect("the only connection");
    let projection = es::ProjectionName::new("p").expect("a valid name");
    // It looks at the log on another connection than the operator's.
    let to = projection::operator::ResetTo::Position(es::Position::from(1_u32));
    let reset = projection::Operator::new(&source).reset_in(&mut tx, &projection, to).await;
    let Err(projection::OperatorError::Store(reset)) = reset else { panic!("{reset:?}") };
    for error in [
        source.begin().await.expect_err("none is free"),
        source.acquire().await.expect_err("none is free"),
        reset,
    ] {
        assert!(matches!(error, StoreError::PoolTimedOut { .. }), "{error:?}");
        assert!(error.is_retryable());
        let says = error.to_string();
        assert!(says.contains("give back") && !says.contains("lost"), "{says}");
    }
    source.commit(tx).await.expect("the transaction is as it was");
}

/// An operator grants the right; until then no event is to blame.
#[tokio::test]
async fn a_role_without_a_right_is_told_which_one() {
    let harness = PgHarness::new();
    let role = format!("poor_{}", harness.tables().schema().expect("a schema"));
    let store = Fixture::new(harness).await;
    let mut conn = store.conn().await;
    let sql = |sql: &str| AssertSqlSafe(sql.replace("ROLE", &role));
    sqlx::raw_sql(sql("create role ROLE")).execute(&mut *conn).await.expect("a role");
    let grant = "do $$ begin execute format('grant usage on schema %I to ROLE', current_schema()); \
                 end $$; grant select on events to ROLE; set role ROLE";
    sqlx::raw_sql(sql(grant)).execute(&mut *conn).await.expect("granted");
    let stream = es::StreamId::new("Test", "Thing", "a").expect("a valid name");
    let event = [es::Event::json("Happened", &1).expect("a valid event")];
    let any = es::ExpectedVersion::Any;
    let error = store.append_in(&mut conn, &stream, any, &event).await.expect_err("refused");
    let es::AppendError::Store(error @ StoreError::MissingRight { .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.cause(), Some(Cause::Server));
    assert!(error.to_string().contains("select, insert"), "{error}");
    assert!(error.source().expect("the server's").to_string().contains("events"), "{error:?}");
    let projection = es::ProjectionName::new("p").expect("a valid name");
    let error = es::adapter::CheckpointStore::lock_checkpoint(
        store.store(),
        &mut conn,
        &projection,
        es::Partition::ALL,
    )
    .await
    .expect_err("refused");
    assert!(error.to_string().contains("select, update"), "{error}");
    execute(&mut conn, "reset role").await.expect("reset");
    sqlx::raw_sql(sql("drop owned by ROLE; drop role ROLE"))
        .execute(&mut *conn)
        .await
        .expect("gone");
}
