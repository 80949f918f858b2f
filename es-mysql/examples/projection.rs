//! A projection: each event becomes a row once, since its checkpoint commits with the rows.
//!
//! In an empty database: `cargo run -p es-mysql --example mysql_projection -- mysql://…`

use std::error::Error;
use std::sync::Arc;

use es::{
    Event, EventFilter, EventStore, ExpectedVersion, PersistedEvent, ProjectionName, StreamId,
};
use es_mysql::sqlx::{self, AssertSqlSafe, MySqlConnection, MySqlPool};
use es_mysql::{MySqlEventStore, MySqlSource};
use migrate_gen::{Database, Schema};
use projection::{EventContext, HandlerError, Processor, Projection};
use tokio_util::sync::CancellationToken;

/// How many orders there are, and what they are worth.
struct Revenue;

impl Projection for Revenue {
    type Connection = MySqlConnection;

    fn name(&self) -> &ProjectionName {
        static NAME: ProjectionName = ProjectionName::from_static("revenue");
        &NAME
    }

    fn filter(&self) -> EventFilter {
        EventFilter::default().with_event_types(["OrderPlaced"])
    }

    async fn handle(
        &self,
        conn: &mut MySqlConnection, // in the transaction that moves the checkpoint, too
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        sqlx::query("update revenue set orders = orders + 1, total = total + ?")
            .bind(event.payload_json::<i64>()?)
            .execute(conn)
            .await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("say where: mysql://user@host/empty_database")?;
    let pool = MySqlPool::connect(&url).await?;
    let schema = Schema::new(Database::Mysql).to_sql()?;
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&pool).await?;
    let own = "create table revenue (orders bigint not null, total bigint not null)";
    sqlx::raw_sql(own).execute(&pool).await?;
    sqlx::raw_sql("insert into revenue values (0, 0)").execute(&pool).await?;
    let source = Arc::new(MySqlSource::new(pool.clone(), MySqlEventStore::default()));

    for (id, total) in [("order-1", 4200), ("order-2", 800)] {
        let order = StreamId::new("Sales", "Order", id)?;
        let events = [Event::json("OrderPlaced", &total)?, Event::json("OrderPaid", &total)?];
        let mut tx = pool.begin().await?;
        let store = MySqlEventStore::default();
        store.append(&mut tx, &order, ExpectedVersion::NoStream, &events).await?;
        tx.commit().await?;

        // The second time it goes on where its checkpoint is. A service calls `run` instead.
        let processor = Processor::new(Arc::clone(&source)).with_projection(Revenue);
        processor.run_until_caught_up(CancellationToken::new()).await?;
        let (orders, total): (i64, i64) =
            sqlx::query_as("select orders, total from revenue").fetch_one(&pool).await?;
        println!("{orders} orders, revenue {total}");
    }
    Ok(())
}
