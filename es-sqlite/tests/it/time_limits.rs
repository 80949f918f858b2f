//! How long a statement of a projection's transaction may run.

use std::time::{Duration, Instant};

use es::{Cause, EventSource, TableNames};
use es_sqlite::{SqliteEventStore, SqliteSource, sqlx};

use crate::harness::SqliteHarness;

const ENDLESS: &str =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n";

async fn source(harness: &SqliteHarness) -> SqliteSource {
    let pool = harness.pool(&TableNames::default()).await;
    SqliteSource::new(pool, SqliteEventStore::default())
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_interrupted() {
    let harness = SqliteHarness::new();
    let source = source(&harness).await;
    let mut tx = source.begin_within(Duration::from_millis(100)).await.expect("begun");
    for _ in 0..2 {
        let began = Instant::now();
        let endless = sqlx::raw_sql(ENDLESS).execute(&mut *tx).await;
        let error = endless.expect_err("it is interrupted");
        assert_eq!(source.cause(&error), Some(Cause::Transaction), "{error}");
        assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
    }
    source.probe(&mut tx).await.expect("a read that was interrupted ends no transaction");
    source.rollback(tx).await.expect("rolled back");

    // The limit ends with the transaction, though the connection is the same.
    let limited = "with recursive n(i) as (select 1 union all select i + 1 from n limit 3000000) \
                   select max(i) from n";
    for _ in 0..source.pool().size() {
        sqlx::raw_sql(limited).execute(source.pool()).await.expect("nobody interrupts it");
    }
}

/// The time is a statement's, not that of the transaction.
#[tokio::test]
async fn a_transaction_of_many_statements_may_take_longer() {
    let harness = SqliteHarness::new();
    let source = source(&harness).await;
    let time_max = Duration::from_millis(500);
    let mut tx = source.begin_within(time_max).await.expect("begun");
    let began = Instant::now();
    let short = "with recursive n(i) as (select 1 union all select i + 1 from n limit 10000) \
                 select max(i) from n";
    while began.elapsed() < time_max * 2 {
        sqlx::raw_sql(short).execute(&mut *tx).await.expect("it is short");
    }
    source.check_open(&mut tx).await.expect("it is open");
    source.commit(tx).await.expect("committed");
}

/// A caller who stops waiting for a statement frees the database, however long the statement would take.
#[tokio::test]
async fn a_transaction_dropped_in_a_long_statement_ends_at_once() {
    let harness = SqliteHarness::new();
    let source = source(&harness).await;
    for _ in 0..20 {
        let mut tx = source.begin().await.expect("begun: the one before has ended");
        {
            let mut statement = Box::pin(sqlx::raw_sql(ENDLESS).execute(&mut *tx));
            let waited = tokio::time::timeout(Duration::from_millis(5), &mut statement).await;
            assert!(waited.is_err(), "it is endless");
        }
        drop(tx);
    }
}
