//! What an operator is told when something does not go on.

use es::{Event, EventStore, ExpectedVersion, StreamId};
use es_postgres::PgEventStore;
use serde_json::{Value, json};
use sqlx::Connection;

use super::process::{Home, Service, order, until};

/// The partition of `/projections` of which `is` holds.
async fn partition(service: &Service, is: impl Fn(&Value) -> bool) -> Option<Value> {
    let projections = service.get("/projections").await.expect(200);
    projections[0]["partitions"].as_array()?.iter().find(|one| is(one)).cloned()
}

#[tokio::test]
async fn a_partition_that_stands_still_makes_its_process_unhealthy() {
    stand_still(&Home::on_sqlite()).await;
}

#[tokio::test]
async fn a_partition_that_stands_still_makes_its_process_unhealthy_on_postgres() {
    stand_still(&Home::on_postgres()).await;
}

/// A checkpoint that lies after the end of the log is waited for by nobody.
async fn stand_still(home: &Home) {
    let service = home.start(&["--worker", "one"]);
    service.post("/orders", &order("1")).await.expect(201);
    home.run("update projection_checkpoints set position = 1000 where partition_index = 2").await;
    until("the process is unhealthy", || async { service.get("/healthz").await.status == 503 })
        .await;
    let health = service.get("/healthz").await.expect(503);
    let trouble = &health["troubles"][0];
    assert_eq!(health["is_healthy"], false);
    let of = (&trouble["projection"], &trouble["partition"], &trouble["stands_still"]);
    assert_eq!(of, (&json!("order_summaries"), &json!("2/4"), &json!(true)), "{health}");
    let reason = trouble["reason"].as_str().unwrap();
    assert!(reason.contains("1000"), "{reason}");
    // The database is told, too.
    let told = |one: &Value| one["partition"] == "2/4" && one["last_error"].is_string();
    until("it is shown", || async { partition(&service, told).await.is_some() }).await;
}

#[tokio::test]
async fn an_event_that_fails_is_shown_with_its_position_and_error() {
    fail(&Home::on_sqlite()).await;
}

#[tokio::test]
async fn an_event_that_fails_is_shown_with_its_position_and_error_on_postgres() {
    fail(&Home::on_postgres()).await;
}

/// While the read model has no table, no attempt succeeds.
async fn fail(home: &Home) {
    let service = home.start(&["--wait-max", "0.05"]);
    home.run("alter table order_summaries rename to summaries_elsewhere").await;
    let placed = service.post("/orders", &order("1")).await.expect(202);
    let fails = |one: &Value| one["failing_position"] == placed["position"];
    let failing = |one: &Value| fails(one) && one["last_error"].is_string();
    until("it is tried", || async { partition(&service, failing).await.is_some() }).await;
}

#[tokio::test]
async fn a_transaction_that_holds_the_projections_back_is_shown() {
    let home = Home::on_postgres();
    let service = home.start(&["--wait-max", "0.05"]);
    let mut conn = home.postgres().await;
    sqlx::raw_sql("set application_name = 'importer'").execute(&mut conn).await.unwrap();
    let session: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut conn).await.unwrap();
    let mut tx = conn.begin().await.unwrap();
    let stream = StreamId::new("Sales", "Other", "1").unwrap();
    let event = Event::json("Happened", &1).unwrap();
    let none = ExpectedVersion::NoStream;
    PgEventStore::default().append(&mut tx, &stream, none, &[event]).await.unwrap();
    service.post("/orders", &order("1")).await.expect(202);
    let projections = service.get("/projections").await.expect(200);
    let holder = &projections[0]["held_by"][0];
    let is = (&holder["session"], &holder["application"]);
    assert_eq!(is, (&json!(format!("process {session}")), &json!("importer")), "{projections}");
    assert!(holder["open_for_seconds"].as_f64() > Some(0.0), "{projections}");
    let partitions = projections[0]["partitions"].as_array().unwrap();
    let held = |one: &Value| one["held_back"] == 2 && one["lag_positions"] == 2;
    assert!(partitions.iter().all(held), "{projections}");

    tx.commit().await.unwrap();
    until("the order is shown", || async { service.get("/orders/1").await.status == 200 }).await;
    let projections = service.get("/projections").await.expect(200);
    assert_eq!(projections[0]["held_by"], json!([]));
}
