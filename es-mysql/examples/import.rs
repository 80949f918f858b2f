//! Import the log of another store: its order, ids and times stay, and versions are counted.
//!
//! In an empty database: `cargo run -p es-mysql --example mysql_import -- mysql://…`

use std::error::Error;

use es::{Event, EventStore, ImportResult, StreamId};
use es_mysql::MySqlEventStore;
use es_mysql::sqlx::{self, AssertSqlSafe, MySqlPool};
use migrate_gen::{Database, Schema};

/// Event id, order, what happened, when, and its payload as JSON.
const OLD_LOG: &str = "\
0196f3a8-0000-7000-8000-000000000001 order-1 OrderPlaced 2025-05-21T09:00:00Z 4200
0196f3a8-0000-7000-8000-000000000002 order-2 OrderPlaced 2025-05-21T09:00:01Z 800
0196f3a8-0000-7000-8000-000000000003 order-1 OrderPaid 2025-05-21T09:05:00Z 4200
";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("say where: mysql://user@host/empty_database")?;
    let pool = MySqlPool::connect(&url).await?;
    let schema = Schema::new(Database::Mysql).to_sql()?;
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&pool).await?;
    sqlx::raw_sql("create table imports (events bigint not null)").execute(&pool).await?;

    println!("{} events imported", import(&pool).await?.events);
    match import(&pool).await {
        Ok(again) => println!("{} events imported twice", again.events),
        Err(error) => println!("not imported again: {error}"),
    }

    let (store, mut conn) = (MySqlEventStore::default(), pool.acquire().await?);
    for id in ["order-1", "order-2"] {
        for event in
            &store.read_stream(&mut conn, &StreamId::new("Sales", "Order", id)?, ..).await?
        {
            let (version, time) = (event.version(), event.created_at());
            println!("{id} version {version}: {} at {time}", event.event_type());
        }
    }
    let imports: i64 = sqlx::query_scalar("select count(*) from imports").fetch_one(&pool).await?;
    println!("{imports} import noted");
    Ok(())
}

/// All of it or nothing, with a note of what was done in the same transaction.
async fn import(pool: &MySqlPool) -> Result<ImportResult, Box<dyn Error>> {
    // An iterator will do: one that reads a file need not hold it in memory.
    let events = OLD_LOG.lines().map(parse).collect::<Result<Vec<_>, _>>()?;
    let mut tx = pool.begin().await?;
    let imported = match MySqlEventStore::default().import(&mut tx, events).await {
        Ok(imported) => imported,
        Err(error) => {
            // Unlike a rejected append, it may have written some of the events.
            tx.rollback().await?;
            return Err(error.into());
        }
    };
    sqlx::query("insert into imports (events) values (?)")
        .bind(i64::try_from(imported.events)?)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(imported)
}

fn parse(line: &str) -> Result<(StreamId, Event), Box<dyn Error>> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [event_id, order, event_type, created_at, payload] = fields[..] else {
        return Err(format!("not five fields: {line}").into());
    };
    let event = Event::new(event_type, payload.to_owned())?
        .with_id(event_id.parse()?)
        .with_created_at(created_at.parse()?);
    Ok((StreamId::new("Sales", "Order", order)?, event))
}
