//! Futures that are dropped at any moment: every connection stays usable, and nothing is open.

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use es::adapter::{Attempt, CheckpointStore, ProjectionStore};
use es::conformance::{Fixture, seed};
use es::{
    AppendError, Event, EventFilter, EventSource, EventStore, ExpectedVersion, Partition, Position,
    ProjectionName, ReadLimit, StoreError, StreamId,
};
use es_postgres::PgSource;
use es_postgres::sqlx::postgres::PgPoolOptions;
use es_postgres::sqlx::{self, Connection, PgConnection};
use fastrand::Rng;
use projection::conformance::Recorder;
use projection::{Processor, ProjectionOptions};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::harness::PgHarness;

/// How many futures the test drops, or lets end.
const FUTURES: usize = 3000;

const CONNECTIONS: u32 = 3;

/// Longer than any wait of a test that does not hang.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const ANY: ExpectedVersion = ExpectedVersion::Any;

/// Polls a future so often and drops it, unless it ends before: right after it has sent something,
/// or when the answer is there.
pub(crate) async fn for_polls<F: Future>(
    random: &mut Rng,
    polls_max: u32,
    future: F,
) -> Option<F::Output> {
    let (mut left, at_once) = (random.u32(..polls_max), random.bool());
    let mut future = pin!(future);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Pending if left == 0 && at_once => Poll::Ready(None),
            polled => polled.map(Some),
        }
    })
    .await
}

/// Polls a future once and drops it, unless it has ended.
pub(crate) async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Pending => Poll::Ready(None),
        Poll::Ready(output) => Poll::Ready(Some(output)),
    })
    .await
}

pub(crate) fn stream(id: &str) -> StreamId {
    StreamId::new("Test", "Thing", id).expect("a valid name")
}

/// Larger than what one read of a socket takes.
fn event() -> Event {
    Event::new("Happened", vec![b'x'; 20_000]).expect("a valid event")
}

/// A few connections that `pg_stat_activity` knows by the name.
pub(crate) async fn small_source(store: &Fixture<Arc<PgHarness>>, name: &str) -> PgSource {
    for number in 0..10 {
        let events: Vec<_> = (0..5).map(|_| event()).collect();
        store.append(&stream(&format!("filled-{number}")), &events).await;
    }
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .connect_with(store.harness.options().application_name(name))
        .await
        .expect("a pool");
    PgSource::new(pool, store.harness.store())
}

/// One thing that a service does, by number.
async fn something(source: &PgSource, number: u64) -> Result<(), AppendError> {
    let store = source.store();
    let read = async {
        let mut conn = source.acquire().await?;
        let (filter, limit) = (EventFilter::default(), ReadLimit::default());
        store.read_events(&mut conn, Position::START, &filter, limit).await?;
        source.release(conn);
        Ok::<_, StoreError>(())
    };
    let look = async {
        let mut conn = source.acquire().await?;
        store.horizon(&mut conn, Position::START).await?;
        // It looks through the whole catalog, which takes a while on a new connection.
        if number.is_multiple_of(8) {
            store.check_schema(&mut conn).await?;
        }
        store.read_stream(&mut conn, &stream("filled-1"), ..).await?;
        source.release(conn);
        Ok::<_, StoreError>(())
    };
    let append = async {
        let mut tx = source.begin().await?;
        let name = stream(&format!("dropped-{}", number % 7));
        let events = [Event::json("Happened", &number).expect("a valid event")];
        store.append(&mut tx, &name, ANY, &events).await?;
        source.probe(&mut tx).await?;
        if number.is_multiple_of(2) {
            source.commit(tx).await?;
        } else {
            source.rollback(tx).await?;
        }
        Ok::<_, AppendError>(())
    };
    let attempt = async {
        let mut tx = source.begin_within(PATIENCE).await?;
        let (name, all) = (ProjectionName::new("dropped").expect("a valid name"), Partition::ALL);
        let registered = store.register_checkpoint(&mut tx, &name, all).await;
        let epoch = registered.map_err(StoreError::database)?.epoch;
        let attempt = Attempt { position: Some(1.into()), attempts: 1, error: Some("no") };
        store.record_attempt(&mut tx, &name, all, epoch, attempt).await?;
        source.check_open(&mut tx).await?;
        source.commit(tx).await
    };
    match number % 5 {
        0 => Ok(read.await?),
        1 => Ok(look.await?),
        2 => Ok(attempt.await?),
        _ => append.await,
    }
}

/// What a processor, or a worker, does until it has caught up or is dropped. Each is of another projection: one
/// that is dropped in its handler again and again reports the event as one that never ends.
async fn process(store: &Fixture<Arc<PgHarness>>, source: &PgSource, number: u64) {
    let projection = Recorder::new(Arc::clone(&store.harness), &format!("p{number}"));
    let options = ProjectionOptions::default()
        .with_batch_size_max(NonZeroU32::new(7).expect("seven"))
        .with_poll_interval_max(Duration::from_millis(5));
    let processor = Processor::new(Arc::new(source.clone()))
        .with_projection_options(projection, options)
        .with_poll_interval(Duration::from_millis(5));
    let stop = CancellationToken::new();
    match number % 3 {
        0 => processor
            .with_assigned([Partition::ALL])
            .run(stop)
            .await
            .expect("it runs until it is dropped"),
        1 => processor.run_until_caught_up(stop).await.expect("it catches up"),
        _ => processor.run(stop).await.expect("it runs until it is dropped"),
    }
}

/// Every connection of the pool can be had and is outside any transaction: what is appended on it
/// is there for others. No session of the pool's is in a transaction.
pub(crate) async fn assert_whole(
    source: &PgSource,
    other: &mut PgConnection,
    name: &str,
    round: usize,
) {
    let mut all = Vec::new();
    for number in 0..CONNECTIONS {
        let conn = source.pool().acquire().await;
        all.push(conn.unwrap_or_else(|error| panic!("round {round}: {number} is lost: {error}")));
    }
    for (number, conn) in all.iter_mut().enumerate() {
        let whole = stream(&format!("whole-{round}-{number}"));
        let event = Event::json("Happened", &1).expect("a valid event");
        let appended = source.store().append(conn, &whole, ANY, &[event]).await;
        appended.unwrap_or_else(|error| panic!("round {round}: {number}: {error:?}"));
        let read = source.store().read_stream(&mut *other, &whole, ..).await.expect("a read");
        assert_eq!(read.len(), 1, "round {round}: connection {number} is in a transaction");
    }
    let none_open = async {
        // The server notices after a moment that a client is gone.
        while open_transactions(other, name).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let none_open = timeout(PATIENCE, none_open).await;
    none_open.unwrap_or_else(|_| panic!("round {round}: a transaction stays open"));
}

async fn open_transactions(conn: &mut PgConnection, name: &str) -> i64 {
    sqlx::query_scalar(
        "select count(*)
         from pg_stat_activity
         where application_name = $1
           and xact_start is not null",
    )
    .bind(name)
    .fetch_one(conn)
    .await
    .expect("a count")
}

#[tokio::test]
async fn futures_dropped_at_random_lose_no_connection_and_leave_nothing_open() {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let store = Fixture::new(Arc::new(PgHarness::new())).await;
    let name = format!("dropped {} {seed}", std::process::id());
    let source = small_source(&store, &name).await;
    let mut other = PgConnection::connect_with(&store.harness.options()).await.expect("connected");
    let mut dropped = 0;
    for round in 0..FUTURES {
        let number = random.u64(..);
        let ended = if random.u8(..8) == 0 {
            let processed = Box::pin(process(&store, &source, number));
            for_polls(&mut random, 60, processed).await.map(Ok)
        } else {
            Box::pin(for_polls(&mut random, 15, something(&source, number))).await
        };
        match ended {
            Some(ended) => ended.expect("what is not dropped succeeds"),
            None => dropped += 1,
        }
        if random.u8(..8) == 0 {
            assert_whole(&source, &mut other, &name, round).await;
        }
    }
    assert!(dropped > FUTURES / 10 && dropped < FUTURES, "{dropped} of {FUTURES} were dropped");
    assert_whole(&source, &mut other, &name, FUTURES).await;
    let horizon = source.store().horizon(&mut other, Position::START).await.expect("a horizon");
    assert_eq!((horizon.position, horizon.held_by), (horizon.end, Vec::new()));
}
