//! Opt-in notifications: a processor that would wait for an hour hears of an append.

use std::sync::Arc;
use std::time::Duration;

use es::conformance::{Fixture, Harness};
use es::{Event, ExpectedVersion, Partition, StoreError, StreamId};
use es_postgres::sqlx::postgres::PgPoolOptions;
use es_postgres::sqlx::{self, AssertSqlSafe};
use es_postgres::{PgEventStore, PgSource};
use futures_util::future::join;
use migrate_gen::{Database, Schema};
use projection::conformance::Recorder;
use projection::{Processor, ProjectionOptions};
use tokio_util::sync::CancellationToken;

use crate::harness::{PgHarness, execute};

#[tokio::test]
async fn a_waiting_processor_hears_of_an_append_when_it_commits() {
    let harness = Arc::new(PgHarness::new());
    let fixture = Fixture::new(Arc::clone(&harness)).await;
    let tables = harness.tables().with_events("noisy".parse().expect("a name"));
    let tables = tables
        .with_projections("noisy_projections".parse().expect("a name"))
        .with_checkpoints("noisy_checkpoints".parse().expect("a name"));
    let schema = Schema::new(Database::Postgres).with_tables(tables.clone()).with_notify();
    let sql = AssertSqlSafe(schema.to_sql().expect("valid names"));
    let pool = fixture.source.pool().clone();
    sqlx::raw_sql(sql).execute(&pool).await.expect("the migration runs");

    let options = (*pool.connect_options()).clone().application_name("notified");
    let notified = PgPoolOptions::new().connect_with(options).await.expect("a pool");
    let source = PgSource::new(notified, PgEventStore::new(&tables));
    let (source, listener) = source.with_notifications().await.expect("it listens");
    let listening = tokio::spawn(listener.run());
    let store = Fixture { harness: Arc::clone(&harness), source: source.clone() };
    let recorder = Recorder::new(Arc::clone(&harness), "p");
    let options = ProjectionOptions::default().with_poll_interval_max(Duration::from_hours(1));
    let processor = Processor::new(Arc::new(source))
        .with_projection_options(recorder, options)
        .with_assigned([Partition::ALL]);
    let shutdown = CancellationToken::new();
    let schedule = async {
        for number in 1..=3 {
            // Long enough for the processor's polls to be minutes apart.
            tokio::time::sleep(Duration::from_millis(600)).await;
            // The second time the connection has been lost, by an administrator's command.
            if number == 2 {
                let listening = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                                 where application_name = 'notified' and query ilike 'listen%'";
                let ended = sqlx::query_scalar::<_, i64>(listening).fetch_one(&pool).await;
                assert_eq!(ended.expect("ended"), 1);
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            let stream = StreamId::new("Test", "Thing", "a").expect("a valid name");
            let event = Event::json("Happened", &number).expect("a valid event");
            let mut tx = store.begin().await;
            let any = ExpectedVersion::Any;
            store.append_in(&mut tx, &stream, any, &[event]).await.expect("appended");
            store.commit(tx).await;
            let heard = async {
                let mut conn = fixture.conn().await;
                while harness.rows(&mut conn, "p").await.expect("rows").len() < number {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let heard = tokio::time::timeout(Duration::from_millis(500), heard).await;
            heard.expect("it is handled long before the next poll");
        }
        shutdown.cancel();
    };
    let (ran, ()) = join(processor.run(shutdown.clone()), schedule).await;
    ran.expect("it runs until the shutdown");
    assert!(!listening.is_finished());
    listening.abort();
}

/// Otherwise its processors would wait for their poll interval, and nobody would know why.
#[tokio::test]
async fn notifications_without_their_trigger_are_refused() {
    let fixture = Fixture::new(PgHarness::new()).await;
    let mut conn = fixture.conn().await;
    let assert_refused = async |of: &str| {
        let refused = fixture.source.clone().with_notifications().await.expect_err(of);
        assert!(matches!(refused, StoreError::Misuse { .. }), "{of}: {refused:?}");
        let said = refused.to_string();
        assert!(said.contains("events sends notifications") && said.contains("--notify"), "{said}");
    };
    assert_refused("no trigger").await;
    let others = "
        create function counts() returns trigger language plpgsql as $$
            begin return null; end $$;
        create function mourns() returns trigger language plpgsql as $$
            begin perform pg_notify('mourned', ''); return null; end $$;
        create trigger counts after insert on events execute function counts();
        create trigger mourns after delete on events execute function mourns()";
    execute(&mut conn, others).await.expect("triggers");
    assert_refused("triggers for something else").await;

    let schema = Schema::new(Database::Postgres).with_tables(fixture.harness.tables());
    let schema = schema.with_notify().to_sql().expect("valid names");
    let function = schema.find("-- Optional: tells those who listen").expect("the function");
    let trigger = schema[function..].split_inclusive("_notify\"();").next().expect("the trigger");
    sqlx::raw_sql(AssertSqlSafe(trigger)).execute(&mut *conn).await.expect("as it is printed");
    fixture.source.clone().with_notifications().await.expect("it listens");
    for (change, is_refused) in [
        ("alter table events disable trigger events_notify", true),
        ("alter table events enable replica trigger events_notify", true),
        ("alter table events enable always trigger events_notify", false),
        ("alter trigger events_notify on events rename to tells", false),
    ] {
        execute(&mut conn, change).await.expect("changed");
        if is_refused {
            assert_refused(change).await;
        } else {
            fixture.source.clone().with_notifications().await.expect(change);
        }
    }
}
