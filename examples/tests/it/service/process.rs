//! A `service` as a process, and a client of it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tempfile::TempDir;

use crate::database::Database;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// A directory and a database, where the processes of one test run.
pub(crate) struct Home {
    directory: TempDir,
    database: Database,
}

/// A process that has begun to listen. Killed with this.
pub(crate) struct Service {
    child: Child,
    client: Client,
    address: String,
}

/// What a request was answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Home {
    pub(crate) fn on_sqlite() -> Self {
        let directory = TempDir::new().unwrap();
        let database = Database::sqlite(directory.path());
        Home { directory, database }
    }

    pub(crate) fn on_postgres() -> Self {
        Home { directory: TempDir::new().unwrap(), database: Database::postgres() }
    }

    /// The one number `sql` selects.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.database.number(sql).await.unwrap_or_else(|| panic!("nothing: {sql}"))
    }

    /// Runs `sql`, as somebody does by hand.
    pub(crate) async fn run(&self, sql: &str) {
        self.database.execute(sql).await;
    }

    /// A connection of one's own.
    pub(crate) async fn postgres(&self) -> PgConnection {
        match &self.database {
            Database::Postgres(database) => database.connect().await,
            _ => panic!("this home is not on PostgreSQL"),
        }
    }

    /// Starts a process on a free port and waits until it listens.
    pub(crate) fn start(&self, arguments: &[&str]) -> Service {
        let log = self.directory.path().join("service.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_service"));
        command.current_dir(self.directory.path()).env("RUST_LOG", "warn");
        command.args(["--database-url", &self.database.url(), "--listen", "127.0.0.1:0"]);
        command.args(arguments).stdout(Stdio::piped());
        command.stderr(File::options().create(true).append(true).open(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            let _ = child.kill();
            panic!("{line:?}: {}", std::fs::read_to_string(&log).unwrap());
        };
        Service { child, client: Client::new(), address: address.to_owned() }
    }
}

impl Service {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.caller().get(path).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.caller().post(path, None, body).await.unwrap()
    }

    pub(crate) async fn post_with_key(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.caller().post(path, Some(key), body).await.unwrap()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        self.address.trim_start_matches("http://")
    }

    /// A client that can be given to a task.
    pub(crate) fn caller(&self) -> Caller {
        Caller { client: self.client.clone(), address: self.address.clone() }
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the process does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of a process that may go away: `None` if there was no answer.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    address: String,
}

impl Caller {
    pub(crate) async fn get(&self, path: &str) -> Option<Answer> {
        Answer::of(self.client.get(format!("{}{path}", self.address))).await
    }

    pub(crate) async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Option<Answer> {
        let request = self.client.post(format!("{}{path}", self.address)).json(body);
        let request = match key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        };
        Answer::of(request).await
    }
}

impl Answer {
    async fn of(request: reqwest::RequestBuilder) -> Option<Self> {
        let response = request.timeout(PATIENCE).send().await.ok()?;
        let status = response.status().as_u16();
        let text = response.text().await.ok()?;
        // Whatever is not JSON is text.
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Some(Answer { status, body })
    }

    /// The version the order has after an accepted request.
    #[track_caller]
    pub(crate) fn version(&self) -> i64 {
        self.body["version"].as_i64().unwrap_or_else(|| panic!("no version: {self:?}"))
    }

    /// Expects this status, and gives the body.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.body
    }
}

/// The body that places an order.
pub(crate) fn order(order_id: &str) -> Value {
    json!({ "order_id": order_id, "customer": "Ada" })
}

/// The body that adds two of something for 4.50 each.
pub(crate) fn item(sku: &str) -> Value {
    json!({ "sku": sku, "quantity": 2, "unit_price_cents": 450 })
}

/// Asks until `is_so`, as something goes on in the background.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
