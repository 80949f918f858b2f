//! A database of its own for each test, on the server of the test run.

use std::thread;

use migrate_gen::{Database, Schema, SqlName, TableNames};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, MySqlConnection};
use uuid::Uuid;

/// The longest name `MySQL` allows a user.
const USER_CHARACTERS_MAX: usize = 32;

/// The name of a database, and of a user, that no other test uses. Both are dropped at the end of
/// the test, whether it passed or not.
///
/// Connections must be made after it, so that they are closed before it.
#[derive(Debug)]
pub(super) struct TestDatabase {
    name: SqlName,
    server: MySqlConnectOptions,
}

impl TestDatabase {
    /// Only the name: for a test whose file creates the database.
    pub(super) fn reserve() -> Self {
        let mut name = format!("mg_{}", Uuid::now_v7().simple());
        name.truncate(USER_CHARACTERS_MAX);
        TestDatabase { name: name.parse().unwrap(), server: server() }
    }

    /// An empty database, and a connection for which it is the default.
    ///
    /// Its collation is not the one the event store needs, so that no table can rely on it.
    pub(super) async fn create() -> (Self, MySqlConnection) {
        let database = TestDatabase::reserve();
        let mut conn = database.server.connect().await.unwrap();
        let create =
            format!("create database {} default collate utf8mb4_general_ci", database.name);
        run(&mut conn, create).await.unwrap();
        let conn = database.connect().await;
        (database, conn)
    }

    /// A database with an event store in it, and a connection for which it is the default.
    pub(super) async fn with(store: &Schema) -> (Self, MySqlConnection) {
        let (database, mut conn) = TestDatabase::create().await;
        run(&mut conn, store.to_sql().unwrap()).await.unwrap();
        (database, conn)
    }

    pub(super) fn name(&self) -> &SqlName {
        &self.name
    }

    /// Tables with the default names, in this database by name.
    pub(super) fn tables(&self) -> TableNames {
        TableNames::default().with_schema(self.name.clone())
    }

    /// Creates the user of the database's name, who can do nothing yet.
    pub(super) async fn create_user(&self, conn: &mut MySqlConnection) -> SqlName {
        run(conn, format!("create user {name} identified by '{name}'", name = self.name))
            .await
            .unwrap();
        self.name.clone()
    }

    /// A connection to the database, which must be there.
    pub(super) async fn connect(&self) -> MySqlConnection {
        self.server.clone().database(self.name.as_str()).connect().await.unwrap()
    }

    /// A connection to no database.
    pub(super) async fn connect_to_server(&self) -> MySqlConnection {
        self.server.connect().await.unwrap()
    }

    /// A connection as the user of the database's name.
    pub(super) async fn connect_as_user(&self) -> Result<MySqlConnection, sqlx::Error> {
        let name = self.name.as_str();
        self.server.clone().username(name).password(name).database(name).connect().await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let sql = format!(
            "set lock_wait_timeout = 10; drop database if exists {name}; \
             drop user if exists {name}",
            name = self.name
        );
        let server = self.server.clone();
        let dropped = thread::spawn(move || run_on(&server, sql)).join();
        assert!(dropped.is_ok() || thread::panicking(), "the database {} is left over", self.name);
    }
}

/// On a thread of its own, for the test's runtime cannot wait inside a `drop`.
fn run_on(server: &MySqlConnectOptions, sql: String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut conn = server.connect().await.unwrap();
        run(&mut conn, sql).await.unwrap();
    });
}

/// The server and who connects to it; the URL's database is another.
fn server() -> MySqlConnectOptions {
    let url = std::env::var("ES_MYSQL_URL")
        .unwrap_or_else(|_| panic!("set ES_MYSQL_URL, or run the tests with cargo xtask test"));
    url.parse().unwrap()
}

pub(super) fn mysql() -> Schema {
    Schema::new(Database::Mysql)
}

pub(super) async fn run(
    conn: &mut MySqlConnection,
    sql: impl Into<String>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(conn).await?;
    Ok(done.rows_affected())
}

/// The number and the message of a statement that must fail.
pub(super) async fn refusal(conn: &mut MySqlConnection, sql: impl Into<String>) -> (u16, String) {
    match run(conn, sql).await.unwrap_err() {
        sqlx::Error::Database(error) => {
            let error = error.downcast::<sqlx::mysql::MySqlDatabaseError>();
            (error.number(), error.message().to_owned())
        }
        error => panic!("not an answer of the database: {error}"),
    }
}

pub(super) async fn number(conn: &mut MySqlConnection, sql: impl Into<String>) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.into())).fetch_one(conn).await.unwrap()
}

/// What a query with one text column answers, a line each row.
pub(super) async fn lines(conn: &mut MySqlConnection, sql: impl Into<String>) -> String {
    let lines: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(sql.into())).fetch_all(conn).await.unwrap();
    lines.join("\n")
}

/// Everything in the connection's default database, a line each.
pub(super) async fn listing(conn: &mut MySqlConnection) -> String {
    let mut lines: Vec<String> = sqlx::query_scalar(
        "select concat('table ', table_name)
         from information_schema.tables
         where table_schema = database()
         union
         select concat('index ', table_name, '.', index_name)
         from information_schema.statistics
         where table_schema = database()
         union
         select concat(lower(constraint_type), ' ', constraint_name)
         from information_schema.table_constraints
         where table_schema = database()
           and constraint_type in ('CHECK', 'FOREIGN KEY')
         union
         select concat('trigger ', trigger_name)
         from information_schema.triggers
         where trigger_schema = database()",
    )
    .fetch_all(conn)
    .await
    .unwrap();
    lines.sort();
    lines.join("\n")
}

/// A row every column of which is as the event store would write it.
pub(super) const GOOD_EVENT: [(&str, &str); 14] = [
    ("bounded_context", "'shop'"),
    ("aggregate_type", "'order'"),
    ("aggregate_id", "'order-1'"),
    ("aggregate_version", "1"),
    ("slot", "3437"),
    ("event_id", "x'0198c0de000070008000000000000001'"),
    ("event_type", "'OrderPlaced'"),
    ("event_version", "1"),
    ("payload", "x'7b7d'"),
    ("metadata", "'{}'"),
    ("correlation_id", "'req_42'"),
    ("causation_id", "null"),
    ("trace_id", "null"),
    ("created_at", "'2026-01-01 00:00:00'"),
];

pub(super) const OTHER_EVENT_ID: &str = "x'0198c0de000070008000000000000009'";

/// The insert of [`GOOD_EVENT`] with some of its columns set to something else.
pub(super) fn insert_event(table: &str, changes: &[(&str, &str)]) -> String {
    let change = |column: &str| changes.iter().find(|(name, _)| *name == column);
    let columns = GOOD_EVENT.map(|(column, _)| column).join(", ");
    let values = GOOD_EVENT.map(|(column, value)| change(column).map_or(value, |(_, v)| *v));
    format!("insert into {table} ({columns}) values ({})", values.join(", "))
}
