//! `service` as its clients and its operators see it: as a process that answers HTTP.
#![cfg(unix)]

mod end;
mod limits;
mod operations;
mod process;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::process::{Answer, Home, Service, item, order, until};

const NOTHING: Value = Value::Null;

#[tokio::test]
async fn an_order_is_placed_filled_and_shipped() {
    place_fill_and_ship(&Home::on_sqlite()).await;
}

#[tokio::test]
async fn an_order_is_placed_filled_and_shipped_on_postgres() {
    place_fill_and_ship(&Home::on_postgres()).await;
}

/// Every read comes right after the write, and sees it.
async fn place_fill_and_ship(home: &Home) {
    let service = home.start(&[]);
    let well = json!({ "is_healthy": true, "troubles": [] });
    assert_eq!(service.get("/healthz").await.expect(200), well);
    service.get("/orders/1").await.expect(404);

    let placed = service.post("/orders", &order("1")).await.expect(201);
    assert_eq!((&placed["order_id"], &placed["version"]), (&json!("1"), &json!(1)));
    let empty = json!({
        "order_id": "1", "customer": "Ada", "status": "open",
        "items": 0, "total_cents": 0, "version": 1,
    });
    assert_eq!(service.get("/orders/1").await.expect(200), empty);

    for items in 1..=3 {
        let added = service.post("/orders/1/items", &item("tea")).await;
        assert_eq!((added.status, added.version()), (200, items + 1));
        let shown = service.get("/orders/1").await.expect(200);
        assert_eq!((&shown["items"], &shown["total_cents"]), (&json!(items), &json!(items * 900)));
    }
    service.post("/orders/1/ship", &NOTHING).await.expect(200);
    let shown = service.get("/orders/1").await.expect(200);
    assert_eq!((&shown["status"], &shown["version"]), (&json!("shipped"), &json!(5)));

    let accepted = "select count(*) from requests where outcome = 'accepted'";
    assert_eq!(home.number(accepted).await, 5);
    assert_eq!(home.number("select count(*) from events").await, 5);
}

#[tokio::test]
async fn a_conflict_is_an_answer_and_leaves_the_transaction_usable() {
    conflict(&Home::on_sqlite()).await;
}

#[tokio::test]
async fn a_conflict_is_an_answer_and_leaves_the_transaction_usable_on_postgres() {
    conflict(&Home::on_postgres()).await;
}

async fn conflict(home: &Home) {
    let service = home.start(&[]);
    service.post("/orders", &order("1")).await.expect(201);
    let taken = service.post("/orders", &order("1")).await.expect(409);
    assert_eq!((&taken["status"], &taken["version"]), (&json!(409), &json!(1)));

    service.post("/orders/1/items?expected_version=1", &item("tea")).await.expect(200);
    let stale = service.post("/orders/1/ship?expected_version=1", &NOTHING).await.expect(409);
    assert_eq!(stale["version"], 2);
    let ahead = service.post("/orders/1/ship?expected_version=3", &NOTHING).await.expect(409);
    assert_eq!(ahead["version"], 2);
    service.post("/orders/1/ship?expected_version=2", &NOTHING).await.expect(200);

    // The rows were written in the transactions that met the conflicts.
    let noted = "select count(*) from requests where outcome = 'conflict'";
    assert_eq!(home.number(noted).await, 3);
    assert_eq!(home.number("select count(*) from events").await, 3);
}

#[tokio::test]
async fn a_repeated_request_is_answered_alike() {
    repeat(&Home::on_sqlite()).await;
}

#[tokio::test]
async fn a_repeated_request_is_answered_alike_on_postgres() {
    repeat(&Home::on_postgres()).await;
}

async fn repeat(home: &Home) {
    let service = home.start(&[]);
    let placed = service.post_with_key("/orders", "a", &order("1")).await;
    let added = service.post_with_key("/orders/1/items", "b", &item("tea")).await;
    service.post("/orders/1/items", &item("cake")).await.expect(200);
    let shipped = service.post_with_key("/orders/1/ship", "c", &NOTHING).await;
    assert_eq!([&placed, &added, &shipped].map(|answer| answer.status), [201, 200, 200]);

    assert_eq!(service.post_with_key("/orders", "a", &order("1")).await, placed);
    assert_eq!(service.post_with_key("/orders/1/items", "b", &item("tea")).await, added);
    assert_eq!(service.post_with_key("/orders/1/ship", "c", &NOTHING).await, shipped);

    // The key of one request is no key for another.
    let other_item = service.post_with_key("/orders/1/items", "b", &item("cake")).await;
    let other_command = service.post_with_key("/orders/1/ship", "b", &NOTHING).await;
    let other_order = service.post_with_key("/orders", "a", &order("2")).await;
    for answer in [other_item, other_command, other_order] {
        let detail = answer.expect(422)["detail"].to_string();
        assert!(detail.contains("used for another request"), "{detail}");
    }
    service.post_with_key("/orders", "", &order("2")).await.expect(400);

    let shown = service.get("/orders/1").await.expect(200);
    assert_eq!((&shown["items"], &shown["version"]), (&json!(2), &json!(4)));
    assert_eq!(home.number("select count(*) from requests").await, 4);
    assert_eq!(home.number("select count(*) from events").await, 4);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let home = Home::on_sqlite();
    let service = home.start(&[]);
    service.post("/orders", &order("1")).await.expect(201);
    let says = |answer: Answer, status: u16, said: &str| {
        let problem = answer.expect(status);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(said), "{problem}");
    };
    says(service.post("/orders/2/ship", &NOTHING).await, 404, "no such order");
    says(service.post("/orders/1/ship", &NOTHING).await, 422, "has no items");
    says(service.post("/orders", &order(" 1")).await, 400, "aggregate id");
    says(service.post("/orders", &json!({ "order_id": "2" })).await, 422, "`customer`");
    let nul = json!({ "order_id": "2", "customer": "A\0da" });
    says(service.post("/orders", &nul).await, 422, "no control characters");
    let none = json!({ "sku": "tea", "quantity": 0, "unit_price_cents": 1 });
    says(service.post("/orders/1/items", &none).await, 422, "nonzero");
    says(
        service.post("/orders/1/ship?expected_version=x", &NOTHING).await,
        400,
        "expected_version",
    );
    says(service.post("/projections/none/pause", &NOTHING).await, 404, "no projection");
}

#[tokio::test]
async fn concurrent_requests_take_every_version_once() {
    race(&Home::on_sqlite()).await;
}

#[tokio::test]
async fn concurrent_requests_take_every_version_once_on_postgres() {
    race(&Home::on_postgres()).await;
}

/// Every item is sent twice at the same time with the same key, by clients that take a conflict
/// for what it is and send again.
async fn race(home: &Home) {
    const ITEMS: i64 = 40;
    let service = home.start(&[]);
    service.post("/orders", &order("1")).await.expect(201);
    let senders = (0..2 * ITEMS).map(|sender| {
        let caller = service.caller();
        tokio::spawn(async move {
            let key = format!("item {}", sender / 2);
            loop {
                let answer =
                    caller.post("/orders/1/items", Some(&key), &item("tea")).await.unwrap();
                match answer.status {
                    200 | 202 => return answer.version(),
                    _ => answer.expect(409),
                };
            }
        })
    });
    let mut versions = Vec::new();
    for sender in senders.collect::<Vec<_>>() {
        versions.push(sender.await.unwrap());
    }
    // Both requests with one key were given the same version, all others different ones.
    assert!(versions.chunks(2).all(|twins| twins[0] == twins[1]), "{versions:?}");
    let distinct: BTreeSet<i64> = versions.into_iter().collect();
    assert!(distinct.into_iter().eq(2..=ITEMS + 1));

    until("the read model has them all", || async {
        service.get("/orders/1").await.version() == ITEMS + 1
    })
    .await;
    let shown = service.get("/orders/1").await.expect(200);
    assert_eq!((&shown["items"], &shown["total_cents"]), (&json!(ITEMS), &json!(ITEMS * 900)));
    assert_eq!(home.number("select count(*) from events").await, ITEMS + 1);
}

#[tokio::test]
async fn a_request_that_waits_in_vain_is_answered_with_202() {
    wait_in_vain(&Home::on_sqlite()).await;
}

#[tokio::test]
async fn a_request_that_waits_in_vain_is_answered_with_202_on_postgres() {
    wait_in_vain(&Home::on_postgres()).await;
}

async fn wait_in_vain(home: &Home) {
    let service = home.start(&["--wait-max", "0.05"]);
    until("the projection is known", || async {
        service.post("/projections/order_summaries/pause", &NOTHING).await.status == 204
    })
    .await;
    let placed = service.post("/orders", &order("1")).await.expect(202);
    assert_eq!(placed["version"], 1);
    service.get("/orders/1").await.expect(404);
    let projections = service.get("/projections").await.expect(200);
    let (one, position) = (&projections[0], &placed["position"]);
    assert_eq!((&one["is_paused"], &one["horizon"]), (&json!(true), position));
    let lag = |one: &Value| one["partitions"][0]["lag_positions"].as_i64();
    assert_eq!(lag(one), position.as_i64(), "{one}");

    service.post("/projections/order_summaries/resume", &NOTHING).await.expect(204);
    until("the order is shown", || async { service.get("/orders/1").await.status == 200 }).await;
    until("the lag is gone", || async {
        let projections = service.get("/projections").await.expect(200);
        lag(&projections[0]) == Some(0)
    })
    .await;
}

#[tokio::test]
async fn two_processes_share_the_read_model() {
    share(&Home::on_sqlite()).await;
}

#[tokio::test]
async fn two_processes_share_the_read_model_on_postgres() {
    share(&Home::on_postgres()).await;
}

async fn share(home: &Home) {
    // At the same time, so that both find no tables.
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| home.start(&["--worker", "one"]));
        let other = scope.spawn(|| home.start(&["--worker", "other"]));
        (one.join().unwrap(), other.join().unwrap())
    });
    until("each has two partitions", || async {
        let projections = one.get("/projections").await.expect(200);
        let owner = |index: usize| projections[0]["partitions"][index]["owner"].clone();
        let owners: Vec<Value> = (0..4).map(owner).collect();
        ["one", "other"].iter().all(|name| owners.iter().filter(|one| *one == name).count() == 2)
    })
    .await;
    let processes: [&Service; 2] = [&one, &other];
    for number in 0..10 {
        let (writer, reader) = (processes[number % 2], processes[(number + 1) % 2]);
        let order_id = format!("order {number}");
        writer.post("/orders", &order(&order_id)).await.expect(201);
        reader.get(&format!("/orders/{order_id}")).await.expect(200);
    }
}
