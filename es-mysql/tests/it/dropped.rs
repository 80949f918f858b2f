//! Futures that are dropped in the middle of something: no connection is lost, and nothing is open.

use std::sync::Arc;
use std::time::Duration;

use es::adapter::CheckpointStore;
use es::conformance::{Fixture, seed};
use es::{
    AppendError, Event, EventFilter, EventSource, EventStore, Partition, Position, ProjectionName,
    ReadLimit, StoreError,
};
use es_mysql::sqlx::mysql::MySqlPoolOptions;
use es_mysql::sqlx::{self, MySqlPool};
use es_mysql::{MySqlEventStore, MySqlSource};
use projection::conformance::Recorder;
use projection::{Processor, ProjectionOptions};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::harness::{MySqlHarness, execute};
use crate::schedule::{ANY, PATIENCE, stream};

/// How many futures a test drops.
const DROPS: usize = 3000;

const CONNECTIONS: u32 = 3;

/// The source of a few connections of the database, with events that no single read of a socket
/// holds.
async fn small_source(store: &Fixture<Arc<MySqlHarness>>) -> MySqlSource {
    for number in 0..20 {
        let events: Vec<_> = (0..10)
            .map(|_| Event::new("Happened", vec![b'x'; 20_000]).expect("a valid event"))
            .collect();
        store.append(&stream(&format!("filled-{number}")), &events).await;
    }
    let pool = MySqlPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .connect_with(store.harness.options())
        .await
        .expect("a pool");
    MySqlSource::new(pool, MySqlEventStore::default())
}

/// One thing that a service or a processor does, by number.
async fn something(source: &MySqlSource, number: u64) -> Result<(), AppendError> {
    let store = source.store();
    let read = async {
        let mut conn = source.acquire().await?;
        let (filter, limit) = (EventFilter::default(), ReadLimit::default());
        store.read_events(&mut conn, Position::START, &filter, limit).await?;
        source.release(conn);
        Ok::<_, StoreError>(())
    };
    let poll = async {
        let mut conn = source.acquire().await?;
        store.horizon(&mut conn, Position::START).await?;
        store.check_schema(&mut conn).await?;
        store.read_stream(&mut conn, &stream("filled-1"), ..).await?;
        source.release(conn);
        Ok::<_, StoreError>(())
    };
    let append = async {
        let mut tx = source.begin().await?;
        let event = Event::new("Happened", vec![b'x'; 20_000]).expect("a valid event");
        let name = stream(&format!("dropped-{}", number % 7));
        store.append(&mut tx, &name, ANY, &[event]).await?;
        if number.is_multiple_of(2) {
            source.commit(tx).await?;
        } else {
            source.rollback(tx).await?;
        }
        Ok::<_, AppendError>(())
    };
    let checkpoint = async {
        let mut tx = source.begin().await?;
        let name = ProjectionName::new("dropped").expect("a valid name");
        let registered = store.register_checkpoint(&mut tx, &name, Partition::ALL).await;
        registered.map_err(StoreError::database)?;
        source.check_open(&mut tx).await?;
        source.commit(tx).await
    };
    let import = async {
        let mut tx = source.begin().await?;
        let event = || Event::new("Happened", vec![b'x'; 2_000]).expect("a valid event");
        let name = stream(&format!("imported-{number}"));
        let events = (0..10).map(|_| (name.clone(), event()));
        store.import(&mut tx, events).await.map_err(StoreError::database)?;
        source.commit(tx).await
    };
    match number % KINDS {
        0 => Ok(read.await?),
        1 | REMOVAL => Ok(poll.await?),
        2 => append.await,
        3 => Ok(import.await?),
        _ => Ok(checkpoint.await?),
    }
}

/// How many things there are to do.
const KINDS: u64 = 6;

/// A poll that finds announcements to remove.
const REMOVAL: u64 = 5;

/// Announcements of connections that are gone, more than a reader leaves there.
async fn leave_announcements(store: &Fixture<Arc<MySqlHarness>>, number: u64) {
    let first = (number % 1_000_000_000) * 1_000;
    let insert = format!(
        "insert ignore into events_appenders
         with recursive numbers (n) as (
           select 1 union all select n + 1 from numbers where n < 250
         )
         select -({first} + n), 1, 0, 0, utc_timestamp(6) - interval 61 minute from numbers"
    );
    let mut conn = store.conn().await;
    if announcements_left(&mut conn).await > 500 {
        store.source.release(conn);
        return;
    }
    execute(&mut conn, sqlx::AssertSqlSafe(insert)).await.expect("announcements");
    store.source.release(conn);
}

/// Every connection of the pool can be had and answers, and no transaction of the database is open.
async fn assert_whole(pool: &MySqlPool, database: &str) {
    let mut all = Vec::new();
    for number in 0..CONNECTIONS {
        let conn = pool.acquire().await;
        all.push(conn.unwrap_or_else(|error| panic!("connection {number} is lost: {error}")));
    }
    for conn in &mut all {
        let one: i64 = sqlx::query_scalar("select 1").fetch_one(&mut **conn).await.expect("fit");
        assert_eq!(one, 1);
    }
    let none_open = async {
        // A server notices after a moment that a client is gone; this table shows it late as well.
        while open_transactions(&mut all[0], database).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, none_open).await.expect("no transaction stays open");
}

async fn open_transactions(conn: &mut sqlx::MySqlConnection, database: &str) -> i64 {
    sqlx::query_scalar(
        "select count(*)
         from information_schema.innodb_trx
         join information_schema.processlist on id = trx_mysql_thread_id
         where db = ?",
    )
    .bind(database)
    .fetch_one(conn)
    .await
    .expect("a count")
}

#[tokio::test]
async fn futures_dropped_at_random_lose_no_connection_and_leave_nothing_open() {
    let mut random = fastrand::Rng::with_seed(seed());
    let store = Fixture::new(Arc::new(MySqlHarness::new())).await;
    let source = small_source(&store).await;
    let mut dropped = 0;
    for _ in 0..DROPS {
        let time = Duration::from_micros(random.u64(..3000));
        let number = random.u64(..);
        if number % KINDS == REMOVAL {
            leave_announcements(&store, number).await;
        }
        match timeout(time, something(&source, number)).await {
            Ok(done) => done.expect("what is not dropped succeeds"),
            Err(_) => dropped += 1,
        }
    }
    assert!(dropped > DROPS / 4, "only {dropped} were dropped");
    assert_whole(source.pool(), store.harness.database()).await;
    assert_nothing_holds(&store).await;
}

/// What was dropped is there as a whole or not at all, and nothing holds the log. A removal that
/// was dropped left the others to the next.
async fn assert_nothing_holds(store: &Fixture<Arc<MySqlHarness>>) {
    let mut conn = store.conn().await;
    let horizon = store.store().horizon(&mut conn, Position::START).await.expect("a horizon");
    assert_eq!((horizon.position, horizon.held_by), (horizon.end, Vec::new()));
    assert!(announcements_left(&mut conn).await <= 250);
}

async fn announcements_left(conn: &mut sqlx::MySqlConnection) -> i64 {
    let left = "select count(*) from events_appenders where connection_id < 0";
    sqlx::query_scalar(left).fetch_one(conn).await.expect("a count")
}

/// A stop drops the read that runs ahead.
#[tokio::test]
async fn stopped_and_dropped_processors_lose_no_connection() {
    let mut random = fastrand::Rng::with_seed(seed());
    let store = Fixture::new(Arc::new(MySqlHarness::new())).await;
    let source = Arc::new(small_source(&store).await);
    for round in 0..150 {
        let projection = Recorder::new(Arc::clone(&store.harness), &format!("p{round}"));
        let fifty = std::num::NonZeroU32::new(50).expect("fifty");
        let options = ProjectionOptions::default().with_batch_size_max(fifty);
        let processor = Processor::new(Arc::clone(&source))
            .with_projection_options(projection, options)
            .with_assigned([Partition::ALL]);
        let stop = CancellationToken::new();
        let time = Duration::from_micros(random.u64(500..25_000));
        let run = timeout(time, processor.run(stop.clone()));
        if round % 2 == 0 {
            assert!(run.await.is_err(), "it runs until it is dropped");
            continue;
        }
        let cancel = async {
            tokio::time::sleep(time).await;
            stop.cancel();
        };
        let (ended, ()) = tokio::join!(timeout(PATIENCE, processor.run(stop.clone())), cancel);
        ended.expect("it stops").expect("and without an error");
    }
    assert_whole(source.pool(), store.harness.database()).await;
}
