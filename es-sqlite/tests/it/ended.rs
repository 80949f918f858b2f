//! Errors that make SQLite end the transaction: every connection goes on to be usable.

use std::sync::Arc;
use std::time::Duration;

use es::{
    AppendError, Event, EventSource, EventStore, ExpectedVersion, PersistedEvent, Position,
    ProjectionName, StoreError, StreamId, TableNames, TransactionState,
};
use es_sqlite::{SqliteEventStore, SqliteSource, sqlx};
use projection::{
    EventContext, FailurePolicy, HandlerError, Operator, Processor, Projection, Retries,
};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Connection, SqliteConnection, SqlitePool};
use tokio_util::sync::CancellationToken;

use crate::harness::migrate;

const SETUP: &str = "
    create table numbers (number integer unique on conflict rollback);
    insert into numbers values (3);
    create table refusing (number integer);
    create trigger refuse before insert on refusing begin select raise(rollback, 'no'); end;
    create table large (bytes blob);
    create table kept (number integer);";

/// A database in memory, which lasts as long as the one connection of its pool.
async fn memory() -> SqlitePool {
    let options =
        SqlitePoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(5));
    let options = options.idle_timeout(None).max_lifetime(None);
    let pool = options.connect_with(SqliteConnectOptions::new().in_memory(true)).await;
    let pool = pool.expect("a database in memory");
    migrate(&pool, &TableNames::default()).await;
    sqlx::raw_sql(SETUP).execute(&pool).await.expect("the setup runs");
    pool
}

fn stream(id: &str) -> StreamId {
    StreamId::new("Test", "Thing", id).expect("a valid name")
}

fn event(number: i64) -> [Event; 1] {
    [Event::json("Happened", &number).expect("a valid event")]
}

async fn run(conn: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(conn).await.map(drop)
}

/// What code of the user may do to the transaction it is given. The result tells nothing.
async fn end(way: usize, conn: &mut SqliteConnection) -> Option<&'static str> {
    let ways = [
        "insert into numbers values (3)",
        "insert or rollback into numbers values (3)",
        "insert into refusing values (1)",
        "pragma max_page_count = 1; insert into large values (zeroblob(1000000))",
        "rollback",
        "commit",
        "end; begin",
        "rollback; savepoint es_other",
        "release savepoint es_open",
        "with recursive n(i) as (select 1 union all select i + 1 from n) \
         insert into kept select i from n where i < 0",
    ];
    let nested = ways.len();
    if let Some(sql) = ways.get(way) {
        let _ = run(conn, sql).await;
        return Some(sql);
    }
    let sql = *ways.get(way - nested)?;
    let mut savepoint = conn.begin().await.expect("a savepoint");
    let mut inner = savepoint.begin().await.expect("a savepoint");
    let _ = run(&mut inner, sql).await;
    if way.is_multiple_of(2) {
        let _ = inner.rollback().await;
        drop(savepoint);
    } else {
        std::mem::forget(inner);
        std::mem::forget(savepoint);
    }
    Some(sql)
}

/// The next who takes the connection can begin, commit, roll back and drop a transaction.
async fn assert_usable(pool: &SqlitePool, what: &str) {
    let lift = "pragma max_page_count = 4294967294";
    sqlx::raw_sql(lift).execute(pool).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let count = async || -> i64 {
        let count = sqlx::query_scalar("select count(*) from kept").fetch_one(pool).await;
        count.unwrap_or_else(|error| panic!("{what}: {error}"))
    };
    let before = count().await;
    for is_committed in [false, true, false] {
        let begun = pool.begin_with("BEGIN IMMEDIATE").await;
        let mut tx = begun.unwrap_or_else(|error| panic!("{what}: {error}"));
        run(&mut tx, "insert into kept values (1)").await.expect("inserted");
        if is_committed {
            tx.commit().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
    assert_eq!(count().await, before + 1, "{what}");
    let begun = pool.begin().await;
    begun.unwrap_or_else(|error| panic!("{what}: {error}")).rollback().await.expect("rolled back");
}

#[tokio::test]
async fn whatever_ends_a_sources_transaction_its_connection_is_usable() {
    let pool = memory().await;
    let source = SqliteSource::new(pool.clone(), SqliteEventStore::default());
    for way in 0.. {
        for ending in ["commit", "rollback", "check", "probe", "drop"] {
            let tx = source.begin_within(Duration::from_millis(50)).await;
            let mut tx = tx.unwrap_or_else(|error| panic!("after {way}: {error:?}"));
            run(&mut tx, "insert into kept values (2)").await.expect("inserted");
            let Some(sql) = end(way, &mut tx).await else { return assert!(way > 10) };
            let what = format!("{way}, {sql}, then {ending}");
            match ending {
                "commit" => drop(source.commit(tx).await),
                "rollback" => {
                    let rolled_back = source.rollback(tx).await;
                    rolled_back.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                }
                "check" => {
                    let checked = source.check_open(&mut tx).await;
                    let error = checked.expect_err(&what);
                    assert_eq!(error.transaction(), Some(TransactionState::Ended), "{what}");
                    drop(tx);
                }
                "probe" => {
                    let error = source.probe(&mut tx).await.expect_err(&what);
                    assert!(matches!(error, StoreError::NoTransaction { .. }), "{what}");
                    drop(tx);
                }
                _ => drop(tx),
            }
            assert_usable(&pool, &what).await;
        }
    }
}

/// The service's own transactions on a pool that it shares with its projections.
#[tokio::test]
async fn a_source_mends_connections_that_others_gave_back() {
    let pool = memory().await;
    let source = SqliteSource::new(pool.clone(), SqliteEventStore::default());
    for reads in [false, true] {
        let mut tx = pool.begin().await.expect("begun");
        end(0, &mut tx).await.expect("it has ended");
        drop(tx);
        if reads {
            source.release(source.acquire().await.expect("a connection"));
        } else {
            source.rollback(source.begin().await.expect("begun")).await.expect("rolled back");
        }
        assert_usable(&pool, "mended by the source").await;
    }
}

/// As the documentation of `restore` says.
#[tokio::test]
async fn a_pool_that_restores_its_connections_is_usable_after_every_error() {
    let options = SqlitePoolOptions::new().max_connections(1).after_release(|conn, _| {
        Box::pin(async move { es_sqlite::restore(conn).await.map(|()| true) })
    });
    let options = options.acquire_timeout(Duration::from_secs(5));
    let pool = options.connect_with(SqliteConnectOptions::new().in_memory(true)).await;
    let pool = pool.expect("a database in memory");
    sqlx::raw_sql(SETUP).execute(&pool).await.expect("the setup runs");
    // All but the statement that never ends: nobody interrupts it here.
    for way in (0..19).filter(|way| *way != 9) {
        for rolls_back in [false, true] {
            let mut tx = pool.begin().await.expect("begun");
            let Some(sql) = end(way, &mut tx).await else { break };
            if rolls_back {
                let _ = tx.rollback().await;
            } else {
                drop(tx);
            }
            assert_usable(&pool, sql).await;
        }
    }
}

/// An append tells its caller that the transaction is gone, and whose fault it was.
#[tokio::test]
async fn an_append_says_that_its_transaction_has_ended() {
    let pool = memory().await;
    let store = SqliteEventStore::default();
    let large = [Event::new("Large", vec![0; 1 << 20]).expect("a valid event")];
    let cases = [
        ("pragma max_page_count = 1", &large, "select 1", Some(TransactionState::MustRollBack)),
        (
            "create trigger refuse_events before insert on events \
             begin select raise(rollback, 'no'); end",
            &event(1),
            "drop trigger refuse_events",
            Some(TransactionState::Ended),
        ),
        (
            "create trigger refuse_events before insert on events \
             begin select raise(abort, 'no'); end",
            &event(1),
            "drop trigger refuse_events",
            None,
        ),
    ];
    for (before, events, after, state) in cases {
        let mut conn = pool.acquire().await.expect("a connection");
        run(&mut conn, before).await.expect("prepared");
        let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.expect("begun");
        let appended = store.append(&mut tx, &stream("a"), ExpectedVersion::Any, events).await;
        let Err(AppendError::Store(error)) = appended else { panic!("{appended:?}") };
        assert_eq!(error.transaction(), state, "{error:?}");
        let is_full = state == Some(TransactionState::MustRollBack);
        assert_eq!(matches!(error, StoreError::Unavailable { .. }), is_full, "{error:?}");
        match state {
            Some(TransactionState::Ended) => drop(tx),
            _ => tx.rollback().await.expect("it was open"),
        }
        es_sqlite::restore(&mut conn).await.expect("restored");
        run(&mut conn, "pragma max_page_count = 4294967294").await.expect("there is room again");
        run(&mut conn, after).await.expect("it is as before");
        drop(conn);
        assert_usable(&pool, before).await;
    }
}

/// Inserts the events' numbers; 3 is there already, which rolls the whole transaction back.
struct Numbers;

impl Projection for Numbers {
    type Connection = SqliteConnection;

    fn name(&self) -> &ProjectionName {
        static NAME: ProjectionName = ProjectionName::from_static("numbers");
        &NAME
    }

    fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy::Park(Retries::new(1.try_into().expect("it is not zero")))
    }

    async fn handle(
        &self,
        conn: &mut SqliteConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        let insert = sqlx::query("insert into numbers values (?)");
        insert.bind(event.payload_json::<i64>()?).execute(conn).await?;
        Ok(())
    }
}

#[tokio::test]
async fn an_event_whose_error_ends_the_transaction_is_parked_and_the_rest_goes_on() {
    let pool = memory().await;
    let source = Arc::new(SqliteSource::new(pool.clone(), SqliteEventStore::default()));
    for number in 0..6 {
        let mut tx = source.begin().await.expect("begun");
        let stream = stream(&format!("s{number}"));
        let store = source.store();
        let appended = store.append(&mut tx, &stream, ExpectedVersion::Any, &event(number)).await;
        appended.expect("appended");
        source.commit(tx).await.expect("committed");
    }
    let processor = Processor::new(Arc::clone(&source)).with_projection(Numbers);
    processor.run_until_caught_up(CancellationToken::new()).await.expect("it goes on");
    assert_usable(&pool, "after the processor").await;
    let letters = Operator::new(&*source).dead_letters(Numbers.name(), Position::START, 10).await;
    let positions: Vec<_> = letters.expect("listed").iter().map(|letter| letter.position).collect();
    assert_eq!(positions, [Position::from(4)]);
    let numbers: Vec<i64> = sqlx::query_scalar("select number from numbers order by number")
        .fetch_all(&pool)
        .await
        .expect("they are read");
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
}
