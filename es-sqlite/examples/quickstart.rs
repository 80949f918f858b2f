//! The README's example: an order and its event in one transaction, then a projection.

use std::sync::Arc;

use es::{Event, EventStore, ExpectedVersion, PersistedEvent, ProjectionName, StreamId};
use es_sqlite::sqlx::{self, SqliteConnection, sqlite::SqlitePoolOptions};
use es_sqlite::{SqliteEventStore, SqliteSource};
use projection::{EventContext, HandlerError, Processor, Projection};
use tokio_util::sync::CancellationToken;

struct Revenue;

impl Projection for Revenue {
    type Connection = SqliteConnection;

    fn name(&self) -> &ProjectionName {
        static NAME: ProjectionName = ProjectionName::from_static("revenue");
        &NAME
    }

    async fn handle(
        &self,
        conn: &mut SqliteConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        sqlx::query("update revenue set total = total + ?")
            .bind(event.payload_json::<i64>()?)
            .execute(conn)
            .await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    let schema = migrate_gen::Schema::new(migrate_gen::Database::Sqlite).to_sql()?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(schema)).execute(&pool).await?;
    let own = "create table orders (id text, total int); create table revenue (total int);";
    sqlx::raw_sql(own).execute(&pool).await?;
    sqlx::raw_sql("insert into revenue values (0)").execute(&pool).await?;

    let store = SqliteEventStore::default();
    let order = StreamId::new("Sales", "Order", "order-1")?;
    let placed = Event::json("OrderPlaced", &4200)?;

    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("insert into orders values ('order-1', 4200)").execute(&mut *tx).await?;
    store.append(&mut tx, &order, ExpectedVersion::NoStream, &[placed]).await?;
    tx.commit().await?; // the row and its event, or neither

    let source = Arc::new(SqliteSource::new(pool.clone(), store));
    let processor = Processor::new(source).with_projection(Revenue);
    processor.run_until_caught_up(CancellationToken::new()).await?;
    let total: i64 = sqlx::query_scalar("select total from revenue").fetch_one(&pool).await?;
    println!("revenue: {total}");
    assert_eq!(total, 4200);
    Ok(())
}
