//! Workers: processes that share a projection's partitions by lease, and take over those of one that
//! dies. This program starts two, which are itself with a name, and kills one.
//!
//! In an empty database: `cargo run -p es-mysql --example mysql_worker -- mysql://…`

use std::error::Error;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use es::{
    Event, EventStore, ExpectedVersion, PartitionCount, PersistedEvent, Position, ProjectionName,
    StreamId, WorkerId,
};
use es_mysql::sqlx::{self, AssertSqlSafe, MySqlConnection, MySqlPool};
use es_mysql::{MySqlEventStore, MySqlSource};
use migrate_gen::{Database, Schema};
use projection::{EventContext, HandlerError, Operator, Processor, Projection, ProjectionOptions};
use tokio_util::sync::CancellationToken;

static TOTALS: ProjectionName = ProjectionName::from_static("totals");
const PARTITIONS: PartitionCount = PartitionCount::of(4);

struct Totals;

impl Projection for Totals {
    type Connection = MySqlConnection;

    fn name(&self) -> &ProjectionName {
        &TOTALS
    }

    async fn handle(
        &self,
        conn: &mut MySqlConnection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        // The table refuses an order that is handled twice.
        sqlx::query("insert into totals (id, total) values (?, ?)")
            .bind(event.aggregate_id())
            .bind(event.payload_json::<i64>()?)
            .execute(conn)
            .await?;
        Ok(())
    }
}

/// What each process of a service does, until it is told to stop: here when its input ends.
async fn work(source: MySqlSource, name: &str) -> Result<(), Box<dyn Error>> {
    let options = ProjectionOptions::default().with_partitions(PARTITIONS);
    let processor = Processor::new(Arc::new(source))
        .with_projection_options(Totals, options)
        .with_id(WorkerId::new(name)?)
        .with_lease(Duration::from_secs(2));
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    std::thread::spawn(move || std::io::read_to_string(std::io::stdin()).map(|_| stop.cancel()));
    Ok(processor.run(shutdown).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("say where: mysql://user@host/empty_database")?;
    let pool = MySqlPool::connect(&url).await?;
    let source = MySqlSource::new(pool.clone(), MySqlEventStore::default());
    if let Some(name) = arguments.next() {
        return work(source, &name).await;
    }
    let schema = Schema::new(Database::Mysql).to_sql()?;
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&pool).await?;
    sqlx::raw_sql("create table totals (id varchar(255) primary key, total bigint)")
        .execute(&pool)
        .await?;

    let (mut ada, mut bob) = (start(&url, "ada")?, start(&url, "bob")?);
    wait_for_owners(&source, ["ada", "ada", "bob", "bob"]).await?;
    let mut last = Position::START;
    for number in 1..=100 {
        if number == 50 {
            bob.kill()?;
        }
        let order = StreamId::new("Sales", "Order", format!("order-{number}"))?;
        let placed = [Event::json("OrderPlaced", &4200)?];
        let mut tx = pool.begin().await?;
        let store = MySqlEventStore::default();
        let appended = store.append(&mut tx, &order, ExpectedVersion::NoStream, &placed).await?;
        tx.commit().await?;
        last = appended.last_position();
    }
    Operator::new(&source).wait_for(&TOTALS, last, Duration::from_secs(30)).await?;
    wait_for_owners(&source, ["ada"; 4]).await?;
    drop(ada.stdin.take());
    ada.wait()?;
    bob.wait()?;
    let handled: i64 = sqlx::query_scalar("select count(*) from totals").fetch_one(&pool).await?;
    println!("{handled} orders handled once");
    Ok(())
}

/// Its input ends with this process, however that ends.
fn start(url: &str, name: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?).args([url, name]).stdin(Stdio::piped()).spawn()
}

async fn wait_for_owners(source: &MySqlSource, expected: [&str; 4]) -> Result<(), Box<dyn Error>> {
    for _ in 0..600 {
        let all = Operator::new(source).status().await?;
        let partitions = all.iter().flat_map(|status| &status.partitions);
        let owners = partitions.filter_map(|partition| partition.state.owner.as_ref());
        let mut owners: Vec<&str> = owners.map(WorkerId::as_str).collect();
        owners.sort_unstable();
        if owners == expected {
            println!("the partitions are worked on by {}", owners.join(", "));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the partitions are not shared".into())
}
