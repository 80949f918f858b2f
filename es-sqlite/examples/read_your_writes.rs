//! Read your writes: wait until a projection has handled what was appended, then read its rows.
//!
//! In a new file:
//! `cargo run -p es-sqlite --example sqlite_read_your_writes -- target/orders.db`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use es::{Event, EventStore, ExpectedVersion, PersistedEvent, ProjectionName, StreamId};
use es_sqlite::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use es_sqlite::sqlx::{self, AssertSqlSafe, SqliteConnection, SqlitePool};
use es_sqlite::{SqliteEventStore, SqliteSource};
use migrate_gen::{Database, Schema};
use projection::{EventContext, HandlerError, Operator, OperatorError, Processor, Projection};
use tokio_util::sync::CancellationToken;

static REVENUE: ProjectionName = ProjectionName::from_static("revenue");

struct Revenue;

impl Projection for Revenue {
    type Connection = SqliteConnection;

    fn name(&self) -> &ProjectionName {
        &REVENUE
    }

    async fn handle(
        &self,
        conn: &mut SqliteConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        let total = event.payload_json::<i64>()?;
        sqlx::query("update revenue set total = total + ?").bind(total).execute(conn).await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("say where: the path of a new file")?;
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = SqlitePool::connect_with(options.journal_mode(SqliteJournalMode::Wal)).await?;
    let schema = Schema::new(Database::Sqlite).to_sql()?;
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&pool).await?;
    sqlx::raw_sql("create table revenue (total integer not null)").execute(&pool).await?;
    sqlx::raw_sql("insert into revenue values (0)").execute(&pool).await?;

    let source = SqliteSource::new(pool.clone(), SqliteEventStore::default());
    let processor = Processor::new(Arc::new(source.clone())).with_projection(Revenue);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let running = tokio::spawn(async move { processor.run(stop).await });
    place(&source, "order-1", 4200, Duration::from_secs(30)).await?;
    place(&source, "order-2", 800, Duration::from_secs(30)).await?;

    shutdown.cancel();
    running.await??;
    place(&source, "order-3", 1000, Duration::from_millis(50)).await
}

/// What a request does, which must be answered in time.
async fn place(
    source: &SqliteSource,
    id: &str,
    total: i64,
    time_max: Duration,
) -> Result<(), Box<dyn Error>> {
    let order = StreamId::new("Sales", "Order", id)?;
    let placed = [Event::json("OrderPlaced", &total)?];
    let mut tx = source.pool().begin_with("BEGIN IMMEDIATE").await?;
    let store = SqliteEventStore::default();
    let appended = store.append(&mut tx, &order, ExpectedVersion::NoStream, &placed).await?;
    tx.commit().await?;
    match Operator::new(source).wait_for(&REVENUE, appended.last_position(), time_max).await {
        Ok(()) => {
            let read = sqlx::query_scalar("select total from revenue");
            let revenue: i64 = read.fetch_one(source.pool()).await?;
            println!("{id} is placed, revenue {revenue}");
        }
        Err(OperatorError::TimedOut { .. }) => println!("{id} is placed, revenue follows"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
