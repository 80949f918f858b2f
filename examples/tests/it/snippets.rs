//! What the documents show beside whole programs: compiled here, and run on SQLite.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use es::{
    Event, EventStore, ExpectedVersion, PartitionCount, PersistedEvent, Position, ProjectionName,
    StreamId,
};
use es_sqlite::sqlx::{self, SqliteConnection, SqlitePool, sqlite::SqlitePoolOptions};
use es_sqlite::{SqliteEventStore, SqliteSource};
use projection::{
    EventContext, FailurePolicy, HandlerError, Operator, Processor, Projection, ProjectionOptions,
    Retries,
};
use tokio_util::sync::CancellationToken;

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// Counts events; fails where it is told to.
struct Counter {
    name: ProjectionName,
    policy: FailurePolicy,
    broken_at: Option<i64>,
}

impl Projection for Counter {
    type Connection = SqliteConnection;

    fn name(&self) -> &ProjectionName {
        &self.name
    }

    fn failure_policy(&self) -> FailurePolicy {
        self.policy
    }

    async fn handle(
        &self,
        conn: &mut SqliteConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        if Some(event.payload_json::<i64>()?) == self.broken_at {
            return Err("a bug".into());
        }
        sqlx::query("update counts set count = count + 1 where name = ?")
            .bind(self.name.as_str())
            .execute(conn)
            .await?;
        Ok(())
    }
}

fn counter(name: &'static str) -> Counter {
    Counter {
        name: ProjectionName::from_static(name),
        policy: FailurePolicy::Stop,
        broken_at: None,
    }
}

async fn database() -> Result<SqlitePool, Box<dyn std::error::Error>> {
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    let schema = migrate_gen::Schema::new(migrate_gen::Database::Sqlite).to_sql()?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(schema)).execute(&pool).await?;
    let own = "create table counts (name text, count int); \
               insert into counts values ('revenue', 0), ('mailer', 0)";
    sqlx::raw_sql(own).execute(&pool).await?;
    Ok(pool)
}

async fn count(pool: &SqlitePool, name: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select count from counts where name = ?").bind(name).fetch_one(pool).await
}

#[tokio::test]
async fn the_readmes_worker_runs() -> TestResult {
    let pool = database().await?;
    let store = SqliteEventStore::default();
    let order = StreamId::new("Sales", "Order", "order-1")?;
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let placed = Event::json("OrderPlaced", &4200)?;
    let appended = store.append(&mut tx, &order, ExpectedVersion::NoStream, &[placed]).await?;
    tx.commit().await?;
    let source = Arc::new(SqliteSource::new(pool.clone(), store));
    let (revenue, mailer) = (Arc::new(counter("revenue")), counter("mailer"));
    let shutdown = CancellationToken::new();
    let time_max = Duration::from_secs(30);

    let options = ProjectionOptions::default().with_partitions(PartitionCount::of(4));
    let processor = Processor::new(Arc::clone(&source))
        .with_projection_options(Arc::clone(&revenue), options)
        .with_projection(mailer);
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { processor.run(shutdown).await } // claims, shares, takes over
    });

    let operator = Operator::new(&*source);
    operator.wait_for(revenue.name(), appended.last_position(), time_max).await?; // read your own writes
    operator.rescale(revenue.name(), PartitionCount::of(8)).await?; // while they run

    shutdown.cancel();
    running.await??;
    assert_eq!(count(&pool, "revenue").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_conflict_is_decided_again() -> TestResult {
    let pool = database().await?;
    let store = SqliteEventStore::default();
    let order = StreamId::new("Sales", "Order", "order-1")?;
    let stale = ExpectedVersion::exact(3);
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;

    let paid = Event::json("OrderPaid", &4200)?;
    match store.append(&mut tx, &order, stale, &[paid]).await {
        Ok(_) => tx.commit().await?,
        // The transaction is usable: look at the stream, and decide again.
        Err(error) if error.is_conflict() => {
            let stream = store.read_stream(&mut tx, &order, ..).await?;
            println!("somebody was faster: {} is at version {}", order, stream.version());
        }
        // If `is_retryable`, as after a deadlock: run the whole transaction again.
        Err(error) => return Err(error.into()),
    }

    Ok(())
}

#[tokio::test]
async fn an_event_that_fails_is_parked_and_handled_after_all() -> TestResult {
    let pool = database().await?;
    let store = SqliteEventStore::default();
    let order = StreamId::new("Sales", "Order", "order-1")?;
    let events = [Event::json("OrderPlaced", &1)?, Event::json("OrderPlaced", &2)?];
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    store.append(&mut tx, &order, ExpectedVersion::NoStream, &events).await?;
    tx.commit().await?;
    let source = Arc::new(SqliteSource::new(pool.clone(), store));

    let twice = NonZeroU32::new(2).expect("it is not zero");
    let policy = FailurePolicy::Park(Retries::new(twice).with_delay_max(Duration::from_millis(5)));
    let broken = Counter { policy, broken_at: Some(1), ..counter("revenue") };
    let processor = Processor::new(Arc::clone(&source)).with_projection(broken);
    processor.run_until_caught_up(CancellationToken::new()).await?;

    let revenue = counter("revenue");
    let name = revenue.name();

    let operator = Operator::new(&*source);
    for letter in operator.dead_letters(name, Position::START, 100).await? {
        println!("{}: {} attempts, {:?}", letter.position, letter.attempts, letter.error);
    }
    // The bug is mended: handle the stream's dead letters in their order.
    let retried = operator.retry(&revenue, &order).await?;

    println!("{retried:?}");
    assert_eq!(count(&pool, "revenue").await?, 2);
    assert!(operator.dead_letters(name, Position::START, 100).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_partition_is_let_past_the_event_it_stands_still_at() -> TestResult {
    let pool = database().await?;
    let store = SqliteEventStore::default();
    for (id, number) in [("order-1", 1), ("order-2", 2)] {
        let order = StreamId::new("Sales", "Order", id)?;
        let placed = [Event::json("OrderPlaced", &number)?];
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
        store.append(&mut tx, &order, ExpectedVersion::NoStream, &placed).await?;
        tx.commit().await?;
    }
    let source = Arc::new(SqliteSource::new(pool.clone(), store));
    let broken = Counter { broken_at: Some(1), ..counter("revenue") };
    let name = broken.name().clone();
    let processor = Processor::new(Arc::clone(&source)).with_projection(broken);
    let stopped = processor.run_until_caught_up(CancellationToken::new()).await;
    assert!(stopped.is_err(), "it stands still");

    let operator = Operator::new(&*source);
    let status = operator.status_of(&name).await?;
    for partition in &status.partitions {
        let state = &partition.state;
        println!("{}: {:?}, {:?}", state.partition, state.failing_position, state.last_error);
    }
    // Partition 0 goes on after the event, which is a dead letter now.
    let skipped = operator.skip_failing(&name, 0).await?;

    assert_eq!(status.partitions[0].state.failing_position, Some(skipped));
    processor.run_until_caught_up(CancellationToken::new()).await?;
    assert_eq!(count(&pool, "revenue").await?, 1);
    assert_eq!(operator.dead_letters(&name, Position::START, 9).await?.len(), 1);
    Ok(())
}
