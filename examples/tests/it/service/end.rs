//! However a process ends, what it has answered is there, and the next one applies nothing twice.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::task::JoinSet;

use super::process::{Caller, Home, Service, item, order, until};

const CLIENTS: usize = 8;

/// How many answers there are before the process is ended, in the midst of others.
const ANSWERS: usize = 100;

const EVENTS: &str = "select count(*) from events";
const ACCEPTED: &str = "select count(*) from requests where outcome = 'accepted'";
const SUMMED_UP: &str = "select cast(count(*) + sum(items) as bigint) from order_summaries";
const SUMMED_UP_ONCE: &str = "select count(*) from order_summaries
    where order_version = 1 + items and total_cents = 900 * items";
const SUMMARIES: &str = "select count(*) from order_summaries";

#[tokio::test]
async fn sigterm_loses_no_answered_request() {
    terminate(&Home::on_sqlite()).await;
}

#[tokio::test]
async fn sigterm_loses_no_answered_request_on_postgres() {
    terminate(&Home::on_postgres()).await;
}

async fn terminate(home: &Home) {
    let service = home.start(&[]);
    let clients = Clients::start(&service);
    clients.have(ANSWERS).await;
    service.signal("TERM");
    assert_eq!(service.ended().await.code(), Some(0));
    let answered = clients.ended().await;
    // Who was answered was shown the read model; a clean stop leaves none behind that was not.
    check(home, &answered, home.start(&[])).await;
}

#[tokio::test]
async fn a_request_that_is_waiting_is_answered_after_sigterm() {
    terminate_while_waiting(&Home::on_sqlite()).await;
}

#[tokio::test]
async fn a_request_that_is_waiting_is_answered_after_sigterm_on_postgres() {
    terminate_while_waiting(&Home::on_postgres()).await;
}

async fn terminate_while_waiting(home: &Home) {
    let service = home.start(&["--wait-max", "1"]);
    // Nothing is handled from here on, so that the request waits until its time is up.
    until("the projection is known", || async {
        service.post("/projections/order_summaries/pause", &Value::Null).await.status == 204
    })
    .await;
    let caller = service.caller();
    let request =
        tokio::spawn(async move { caller.post("/orders", None, &order("1")).await.unwrap() });
    until("the order is placed", || async { home.number(EVENTS).await == 1 }).await;
    service.signal("TERM");
    assert_eq!(request.await.unwrap().status, 202);
    assert_eq!(service.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_kill_loses_no_answered_request() {
    kill(&Home::on_sqlite()).await;
}

#[tokio::test]
async fn a_kill_loses_no_answered_request_on_postgres() {
    kill(&Home::on_postgres()).await;
}

async fn kill(home: &Home) {
    let mut answered = BTreeMap::new();
    for _ in 0..3 {
        let service = home.start(&["--worker", "one"]);
        let clients = Clients::start(&service);
        clients.have(ANSWERS).await;
        service.signal("KILL");
        assert_eq!(service.ended().await.signal(), Some(9));
        answered.extend(clients.ended().await);
    }
    check(home, &answered, home.start(&["--worker", "one"])).await;
}

#[tokio::test]
async fn ctrl_c_ends_an_idle_process() {
    let home = Home::on_sqlite();
    let service = home.start(&[]);
    service.post("/orders", &order("1")).await.expect(201);
    service.signal("INT");
    assert_eq!(service.ended().await.code(), Some(0));
}

/// Clients that place orders and fill them until nobody answers.
struct Clients {
    tasks: JoinSet<Vec<(String, i64)>>,
    answers: Arc<AtomicUsize>,
}

impl Clients {
    fn start(service: &Service) -> Self {
        let answers = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..CLIENTS {
            tasks.spawn(place_and_fill(service.caller(), Arc::clone(&answers)));
        }
        Clients { tasks, answers }
    }

    async fn have(&self, count: usize) {
        until("enough requests are answered", || async {
            self.answers.load(Ordering::Relaxed) >= count
        })
        .await;
    }

    /// The version of every order at the last answer.
    async fn ended(self) -> BTreeMap<String, i64> {
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

async fn place_and_fill(caller: Caller, answers: Arc<AtomicUsize>) -> Vec<(String, i64)> {
    let mut answered = Vec::new();
    loop {
        let order_id = uuid::Uuid::now_v7().to_string();
        let items = format!("/orders/{order_id}/items");
        for version in 1..=5 {
            let answer = match version {
                1 => caller.post("/orders", None, &order(&order_id)).await,
                _ => caller.post(&items, None, &item("tea")).await,
            };
            let Some(answer) = answer else {
                return answered;
            };
            assert!([200, 201, 202].contains(&answer.status), "{answer:?}");
            assert_eq!(answer.version(), version);
            answered.push((order_id.clone(), version));
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Rows and events agree, the read model comes to hold all of them once, and what was answered is
/// among them.
async fn check(home: &Home, answered: &BTreeMap<String, i64>, service: Service) {
    let events = home.number(EVENTS).await;
    assert_eq!(home.number(ACCEPTED).await, events);
    until("the read model has caught up", || async { home.number(SUMMED_UP).await >= events })
        .await;
    assert_eq!(home.number(SUMMED_UP).await, events);
    assert_eq!(home.number(SUMMED_UP_ONCE).await, home.number(SUMMARIES).await);
    assert!(!answered.is_empty());
    for (order_id, version) in answered {
        let shown = service.get(&format!("/orders/{order_id}")).await;
        // The last request may have been carried out and not answered.
        assert!([0, 1].contains(&(shown.version() - version)), "{shown:?}, {version} was answered");
    }
    let projections = service.get("/projections").await.expect(200);
    assert_eq!(projections[0]["dead_letters"], 0, "{projections}");
}
