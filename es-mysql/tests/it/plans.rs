//! Every read uses its index, at 100,000 events: what the server's optimizer says about the
//! statements, as they are sent. It plans a statement each time it runs.

use es::adapter::read_below;
use es::conformance::Fixture;
use es::{EventFilter, EventStore, ExpectedVersion, ReadLimit, Version};
use es_mysql::MySqlEventStore;
use es_mysql::sqlx::{self, AssertSqlSafe, ConnectOptions, MySqlConnection, Row};

use crate::harness::{MySqlHarness, execute};
use crate::proxy::Proxy;
use crate::schedule::{ANY, events, stream};

const FILL: &str = "
    insert into events (
        bounded_context, aggregate_type, aggregate_id, aggregate_version, slot, event_id,
        event_type, event_version, payload, created_at
    )
    with digits (d) as (
      select 0 union all select 1 union all select 2 union all select 3 union all select 4
      union all select 5 union all select 6 union all select 7 union all select 8
      union all select 9
    ),
    numbers (n) as (
      select a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d
      from digits as a, digits as b, digits as c, digits as e, digits as f
    )
    select
        'Test', 'Thing', concat('id-', n % 1000), n div 1000 + 1, n % 16384,
        unhex(md5(n)), 'Happened', 1, 'x', utc_timestamp(6)
    from numbers
    order by n;
    analyze table events";

/// The reads of the events, as the client sent them.
async fn statements(harness: &MySqlHarness) -> Vec<String> {
    let proxy = Proxy::start(&harness.options()).await;
    let mut through = proxy.options(harness.options()).connect().await.expect("a connection");
    let store = MySqlEventStore::default();
    proxy.take();
    store.stream_version(&mut through, &stream("id-7")).await.expect("a version");
    store
        .read_stream(&mut through, &stream("id-7"), Version::FIRST..=50.into())
        .await
        .expect("a stream");
    store.horizon(&mut through, 0.into()).await.expect("a horizon");
    let filter = EventFilter::default().with_event_types(["Happened"]);
    let limit = ReadLimit::default();
    read_below(&store, &mut through, 500.into(), 1500.into(), &filter, limit).await.expect("read");
    execute(&mut through, "start transaction").await.expect("a transaction");
    // Its look-ups are what a rejected append asks.
    let stale = ExpectedVersion::exact(5000);
    store.append(&mut through, &stream("id-7"), stale, &events(20)).await.expect_err("stale");
    store.append(&mut through, &stream("id-7"), ANY, &events(2)).await.expect("appended");
    execute(&mut through, "rollback").await.expect("rolled back");
    let sent = proxy.take();
    let texts = sent.iter().filter_map(|command| command.split_once(": "));
    let selects = texts
        .flat_map(|(_, text)| text.split(';'))
        .map(|statement| statement.trim().replace('?', "'1'"))
        .filter(|statement| statement.starts_with("select") && statement.contains("`events`"));
    selects.map(|statement| without_variable(&statement)).collect()
}

/// An answer that goes into a variable cannot be explained.
fn without_variable(statement: &str) -> String {
    let is_kept = |line: &&str| !line.trim_start().starts_with("into @");
    statement.lines().filter(is_kept).collect::<Vec<_>>().join("\n")
}

async fn assert_indexed(harness: &MySqlHarness, conn: &mut MySqlConnection) {
    let statements = statements(harness).await;
    assert!(statements.len() >= 7, "{statements:#?}");
    for statement in statements {
        let explain = format!("explain {statement}");
        let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *conn).await;
        for row in rows.expect(&statement) {
            let text = |column: &str| row.try_get::<Option<String>, _>(column).ok().flatten();
            let (access, extra) =
                (text("type").unwrap_or_default(), text("Extra").unwrap_or_default());
            // The one row about the table that the catalogue of the server makes.
            if extra.contains("Scanned 0 databases") {
                continue;
            }
            assert!(access != "ALL" && access != "index", "{access} {extra}: {statement}");
            assert!(!extra.contains("filesort"), "{extra}: {statement}");
        }
    }
}

#[tokio::test]
async fn every_read_uses_its_index() {
    let store = Fixture::new(MySqlHarness::new()).await;
    let mut conn = store.conn().await;
    execute(&mut conn, FILL).await.expect("filled");
    assert_indexed(&store.harness, &mut conn).await;
}
