//! Append in your own transaction: an order's row and its event are both there, or neither.
//!
//! In an empty database: `cargo run -p es-mysql --example mysql_append -- mysql://…`

use std::error::Error;

use es::{Event, EventStore, ExpectedVersion, StreamId};
use es_mysql::MySqlEventStore;
use es_mysql::sqlx::{self, AssertSqlSafe, MySqlConnection, MySqlPool};
use migrate_gen::{Database, Schema};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("say where: mysql://user@host/empty_database")?;
    let pool = MySqlPool::connect(&url).await?;
    // A service has this text in a file of its migrations, written by the command migrate-gen.
    let schema = Schema::new(Database::Mysql).to_sql()?;
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&pool).await?;
    let own = "create table orders (id varchar(255) primary key, total bigint not null)";
    sqlx::raw_sql(own).execute(&pool).await?;
    let (kept, undone) = (order("order-1")?, order("order-2")?);

    let mut tx = pool.begin().await?;
    place(&mut tx, &kept, 4200).await?;
    tx.commit().await?;

    let mut tx = pool.begin().await?;
    place(&mut tx, &undone, 1000).await?;
    tx.rollback().await?;

    let mut conn = pool.acquire().await?;
    for order in [kept, undone] {
        let rows: i64 = sqlx::query_scalar("select count(*) from orders where id = ?")
            .bind(order.aggregate_id())
            .fetch_one(&mut *conn)
            .await?;
        let stream = MySqlEventStore::default().read_stream(&mut conn, &order, ..).await?;
        println!("{}: {rows} rows, {} events", order.aggregate_id(), stream.len());
    }
    Ok(())
}

/// Begins and commits nothing, so that it can be one step of the caller's work.
async fn place(
    conn: &mut MySqlConnection,
    order: &StreamId,
    total: i64,
) -> Result<(), Box<dyn Error>> {
    sqlx::query("insert into orders (id, total) values (?, ?)")
        .bind(order.aggregate_id())
        .bind(total)
        .execute(&mut *conn)
        .await?;
    let placed = Event::json("OrderPlaced", &total)?;
    let store = MySqlEventStore::default();
    let appended = store.append(conn, order, ExpectedVersion::NoStream, &[placed]).await?;
    println!("{}: appended as version {}", order.aggregate_id(), appended.to_version());
    Ok(())
}

fn order(id: &str) -> Result<StreamId, Box<dyn Error>> {
    Ok(StreamId::new("Sales", "Order", id)?)
}
