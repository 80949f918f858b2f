//! A version conflict, and its retry: the transaction goes on, so look at the stream and decide again.
//!
//! In an empty database: `cargo run -p es-postgres --example postgres_conflict -- postgres://…`

use std::error::Error;

use es::{AppendError, Event, EventStore, ExpectedVersion, StreamId, Version};
use es_postgres::PgEventStore;
use es_postgres::sqlx::{self, AssertSqlSafe, PgPool};
use migrate_gen::{Database, Schema};

const ATTEMPTS_MAX: u32 = 5;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("say where: postgres://user@host/empty_database")?;
    let pool = PgPool::connect(&url).await?;
    let schema = Schema::new(Database::Postgres).to_sql()?;
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&pool).await?;
    sqlx::raw_sql("create table conflicts (seen bigint, found bigint)").execute(&pool).await?;
    let order = StreamId::new("Sales", "Order", "order-1")?;

    let mut tx = pool.begin().await?;
    let placed = Event::json("OrderPlaced", &4200)?;
    let store = PgEventStore::default();
    let placed = store.append(&mut tx, &order, ExpectedVersion::NoStream, &[placed]).await?;
    // Somebody else is faster than the one who has seen version 1.
    let paid = [Event::json("OrderPaid", &4200)?];
    store.append(&mut tx, &order, ExpectedVersion::exact(placed.to_version()), &paid).await?;
    tx.commit().await?;

    let shipped = ship(&pool, &order, placed.to_version()).await?;
    println!("shipped as version {shipped}");
    match ship(&pool, &order, placed.to_version()).await {
        Ok(version) => println!("shipped twice, as version {version}"),
        Err(error) => println!("not shipped: {error}"),
    }
    let kept: i64 = sqlx::query_scalar("select count(*) from conflicts").fetch_one(&pool).await?;
    println!("conflicts noted: {kept}");
    Ok(())
}

/// Ships an order that was seen at a version. If it is at another by now, what has happened decides.
async fn ship(
    pool: &PgPool,
    order: &StreamId,
    mut seen: Version,
) -> Result<Version, Box<dyn Error>> {
    let store = PgEventStore::default();
    let shipped = [Event::json("OrderShipped", &())?];
    for _ in 0..ATTEMPTS_MAX {
        let mut tx = pool.begin().await?;
        match store.append(&mut tx, order, ExpectedVersion::exact(seen), &shipped).await {
            Ok(appended) => {
                tx.commit().await?;
                return Ok(appended.to_version());
            }
            // Nothing was written, and the transaction goes on: this row is kept.
            Err(AppendError::Conflict { actual, .. }) => {
                println!("seen at version {seen}, but it is at {actual}");
                sqlx::query("insert into conflicts (seen, found) values ($1, $2)")
                    .bind(seen.get())
                    .bind(actual.get())
                    .execute(&mut *tx)
                    .await?;
                let stream = store.read_stream(&mut tx, order, ..).await?;
                tx.commit().await?;
                if stream.iter().any(|event| event.event_type() == "OrderShipped") {
                    return Err("it is on its way already".into());
                }
                seen = stream.version();
            }
            // A deadlock, say: the whole transaction again.
            Err(error) if error.is_retryable() => tx.rollback().await?,
            Err(error) => return Err(error.into()),
        }
    }
    Err("others are faster each time".into())
}
