//! Dead letters: an event that cannot be handled is parked with the later ones of its stream, and is
//! handled after all when the bug is mended.
//!
//! In an empty database: `cargo run -p es-postgres --example postgres_dead_letters -- postgres://…`

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;

use es::{Event, EventStore, ExpectedVersion, PersistedEvent, Position, ProjectionName, StreamId};
use es_postgres::sqlx::{self, AssertSqlSafe, PgConnection, PgPool};
use es_postgres::{PgEventStore, PgSource};
use migrate_gen::{Database, Schema};
use projection::{
    EventContext, FailurePolicy, HandlerError, Operator, Processor, Projection, Retries,
};
use tokio_util::sync::CancellationToken;

struct Revenue {
    /// Whether it knows that there are orders whose total is a text.
    is_mended: bool,
}

impl Projection for Revenue {
    type Connection = PgConnection;

    fn name(&self) -> &ProjectionName {
        static NAME: ProjectionName = ProjectionName::from_static("revenue");
        &NAME
    }

    fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy::Park(Retries::new(NonZeroU32::MIN.saturating_add(1)))
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        let total = match event.payload_json::<i64>() {
            Err(_) if self.is_mended => event.payload_json::<String>()?.parse()?,
            total => total?,
        };
        sqlx::query("update revenue set total = total + $1").bind(total).execute(conn).await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("say where: postgres://user@host/empty_database")?;
    let pool = PgPool::connect(&url).await?;
    let schema = Schema::new(Database::Postgres).to_sql()?;
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&pool).await?;
    sqlx::raw_sql("create table revenue (total bigint not null)").execute(&pool).await?;
    sqlx::raw_sql("insert into revenue values (0)").execute(&pool).await?;

    let store = PgEventStore::default();
    let first = StreamId::new("Sales", "Order", "order-1")?;
    let second = StreamId::new("Sales", "Order", "order-2")?;
    let text = [Event::json("OrderPlaced", &"4200")?, Event::json("ItemAdded", &300)?];
    let number = [Event::json("OrderPlaced", &800)?];
    let mut tx = pool.begin().await?;
    store.append(&mut tx, &first, ExpectedVersion::NoStream, &text).await?;
    store.append(&mut tx, &second, ExpectedVersion::NoStream, &number).await?;
    tx.commit().await?;

    let source = Arc::new(PgSource::new(pool.clone(), store));
    let processor =
        Processor::new(Arc::clone(&source)).with_projection(Revenue { is_mended: false });
    processor.run_until_caught_up(CancellationToken::new()).await?;
    println!("revenue {}", revenue(&pool).await?);
    let mended = Revenue { is_mended: true };
    for letter in Operator::new(&*source).dead_letters(mended.name(), Position::START, 100).await? {
        let error = letter.error.as_deref().unwrap_or("waits for the one before it");
        println!("{}, {} attempts: {error}", letter.stream.aggregate_id(), letter.attempts);
    }

    // In the order of the stream. Who wants to leave one out calls `Operator::skip` instead.
    let retried = Operator::new(&*source).retry(&mended, &first).await?;
    println!("{retried:?}, revenue {}", revenue(&pool).await?);
    Ok(())
}

async fn revenue(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select total from revenue").fetch_one(pool).await
}
