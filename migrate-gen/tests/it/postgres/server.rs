//! A schema of its own for each test, on the server of the test run.

use std::thread;

use migrate_gen::{Database, Schema, SqlName, TableNames};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use uuid::Uuid;

/// The name of a schema, and of a role, that no other test uses. Both are dropped at the end of the
/// test, whether it passed or not.
///
/// Connections must be made after it, so that they are closed before it.
#[derive(Debug)]
pub(super) struct TestSchema {
    name: SqlName,
    server: PgConnectOptions,
}

impl TestSchema {
    /// Only the name: for a test whose file creates the schema.
    pub(super) fn reserve() -> Self {
        let name = format!("mg_{}", Uuid::now_v7().simple()).parse().unwrap();
        TestSchema { name, server: server() }
    }

    /// An empty schema, and a connection for which it is the default.
    pub(super) async fn create() -> (Self, PgConnection) {
        let schema = TestSchema::reserve();
        let mut conn = schema.connect().await;
        run(&mut conn, format!("create schema {}", schema.name)).await.unwrap();
        (schema, conn)
    }

    /// A schema with an event store in it, and a connection for which it is the default.
    pub(super) async fn with(store: &Schema) -> (Self, PgConnection) {
        let (schema, mut conn) = TestSchema::create().await;
        run(&mut conn, store.to_sql().unwrap()).await.unwrap();
        (schema, conn)
    }

    pub(super) fn name(&self) -> &SqlName {
        &self.name
    }

    /// Tables with the default names, in this schema by name.
    pub(super) fn tables(&self) -> TableNames {
        TableNames::default().with_schema(self.name.clone())
    }

    /// Creates the role of the schema's name, which can do nothing yet.
    pub(super) async fn create_role(&self, conn: &mut PgConnection) -> SqlName {
        run(conn, format!("create role {}", self.name)).await.unwrap();
        self.name.clone()
    }

    pub(super) async fn connect(&self) -> PgConnection {
        self.options().connect().await.unwrap()
    }

    pub(super) async fn listener(&self) -> PgListener {
        let pool = PgPoolOptions::new().max_connections(1).connect_with(self.options());
        PgListener::connect_with(&pool.await.unwrap()).await.unwrap()
    }

    fn options(&self) -> PgConnectOptions {
        self.server.clone().options([("search_path", self.name.as_str())])
    }
}

impl Drop for TestSchema {
    fn drop(&mut self) {
        let sql = format!(
            "set lock_timeout = '10s'; drop schema if exists {name} cascade; \
             drop role if exists {name}",
            name = self.name
        );
        let server = self.server.clone();
        let dropped = thread::spawn(move || run_on(&server, sql)).join();
        assert!(dropped.is_ok() || thread::panicking(), "the schema {} is left over", self.name);
    }
}

/// On a thread of its own, for the test's runtime cannot wait inside a `drop`.
fn run_on(server: &PgConnectOptions, sql: String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut conn = server.connect().await.unwrap();
        run(&mut conn, sql).await.unwrap();
    });
}

fn server() -> PgConnectOptions {
    let url = std::env::var("ES_POSTGRES_URL")
        .unwrap_or_else(|_| panic!("set ES_POSTGRES_URL, or run the tests with cargo xtask test"));
    url.parse().unwrap()
}

pub(super) fn postgres() -> Schema {
    Schema::new(Database::Postgres)
}

pub(super) async fn run(
    conn: &mut PgConnection,
    sql: impl Into<String>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(conn).await?;
    Ok(done.rows_affected())
}

/// The SQLSTATE and the message of a statement that must fail.
pub(super) async fn refusal(conn: &mut PgConnection, sql: impl Into<String>) -> (String, String) {
    match run(conn, sql).await.unwrap_err() {
        sqlx::Error::Database(error) => {
            (error.code().unwrap().into_owned(), error.message().to_owned())
        }
        error => panic!("not an answer of the database: {error}"),
    }
}

pub(super) async fn number(conn: &mut PgConnection, sql: impl Into<String>) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.into())).fetch_one(conn).await.unwrap()
}

/// What a query with one text column answers, a line each row.
pub(super) async fn lines(conn: &mut PgConnection, sql: impl Into<String>) -> String {
    let lines: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(sql.into())).fetch_all(conn).await.unwrap();
    lines.join("\n")
}

/// Everything in the connection's default schema, a line each.
pub(super) async fn listing(conn: &mut PgConnection) -> String {
    lines(
        conn,
        r#"select kind || ' ' || name collate "C"
           from (
             select
               case relkind when 'r' then 'table' when 'S' then 'sequence' else 'index' end,
               relname::text,
               relnamespace
             from pg_class
             union all
             select 'function', proname::text, pronamespace
             from pg_proc
             union all
             select 'trigger', tgname::text, relnamespace
             from pg_trigger
             join pg_class on pg_class.oid = tgrelid
             where not tgisinternal
           ) as thing (kind, name, namespace)
           where namespace = current_schema()::regnamespace
           order by 1"#,
    )
    .await
}

/// A row every column of which is as the event store would write it.
pub(super) const GOOD_EVENT: [(&str, &str); 13] = [
    ("bounded_context", "'shop'"),
    ("aggregate_type", "'order'"),
    ("aggregate_id", "'order-1'"),
    ("aggregate_version", "1"),
    ("slot", "3437"),
    ("event_id", "'0198c0de-0000-7000-8000-000000000001'"),
    ("event_type", "'OrderPlaced'"),
    ("event_version", "1"),
    ("payload", r"'\x7b7d'"),
    ("metadata", "'{}'"),
    ("correlation_id", "'req_42'"),
    ("causation_id", "null"),
    ("created_at", "'2026-01-01 00:00:00+00'"),
];

pub(super) const OTHER_EVENT_ID: &str = "'0198c0de-0000-7000-8000-000000000009'";

/// The insert of [`GOOD_EVENT`] with some of its columns set to something else.
pub(super) fn insert_event(table: &str, changes: &[(&str, &str)]) -> String {
    let change = |column: &str| changes.iter().find(|(name, _)| *name == column);
    let columns = GOOD_EVENT.map(|(column, _)| column).join(", ");
    let values = GOOD_EVENT.map(|(column, value)| change(column).map_or(value, |(_, v)| *v));
    format!("insert into {table} ({columns}) values ({})", values.join(", "))
}
