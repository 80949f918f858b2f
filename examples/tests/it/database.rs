//! The databases of the tests, each made for one test and removed with it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use migrate_gen::Database as Kind;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, MySqlConnection, PgConnection, SqliteConnection,
};

/// A database a run has, or will make.
pub(crate) enum Database {
    Sqlite(SqliteFile),
    Postgres(Box<PgDatabase>),
    Mysql(Box<MySqlDatabase>),
}

/// A file in the test's directory, which removes it.
pub(crate) struct SqliteFile {
    path: PathBuf,
}

/// A database on the server of `ES_POSTGRES_URL`, dropped with this.
pub(crate) struct PgDatabase {
    server: PgConnectOptions,
    name: String,
}

/// A database on the server of `ES_MYSQL_URL`, dropped with this.
pub(crate) struct MySqlDatabase {
    server: MySqlConnectOptions,
    name: String,
}

impl Database {
    /// A database that `sqlite://history.db` names to a program run in `directory`.
    pub(crate) fn sqlite(directory: &Path) -> Self {
        Database::Sqlite(SqliteFile { path: directory.join("history.db") })
    }

    /// A database of its own on the server.
    pub(crate) fn postgres() -> Self {
        Database::Postgres(Box::new(PgDatabase::create()))
    }

    /// A database of its own on the server.
    pub(crate) fn mysql() -> Self {
        Database::Mysql(Box::new(MySqlDatabase::create()))
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Database::Sqlite(_) => Kind::Sqlite,
            Database::Postgres(_) => Kind::Postgres,
            Database::Mysql(_) => Kind::Mysql,
        }
    }

    /// What the program is told.
    pub(crate) fn url(&self) -> String {
        match self {
            Database::Sqlite(_) => "sqlite://history.db".to_owned(),
            Database::Postgres(database) => database.options().to_url_lossy().to_string(),
            Database::Mysql(database) => database.options().to_url_lossy().to_string(),
        }
    }

    /// The one number `sql` selects; `None` if it is null or the tables are not there.
    pub(crate) async fn number(&self, sql: &str) -> Option<i64> {
        let sql = AssertSqlSafe(sql);
        let selected = match self {
            Database::Sqlite(file) => {
                let mut conn = file.connect().await?;
                sqlx::query_scalar(sql).fetch_one(&mut conn).await
            }
            Database::Postgres(database) => {
                let mut conn = database.connect().await;
                sqlx::query_scalar(sql).fetch_one(&mut conn).await
            }
            Database::Mysql(database) => {
                let mut conn = database.connect().await;
                sqlx::query_scalar(sql).fetch_one(&mut conn).await
            }
        };
        match selected {
            Ok(number) => number,
            Err(sqlx::Error::Database(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql);
        match self {
            Database::Sqlite(file) => {
                let mut conn = file.connect().await.unwrap();
                sqlx::raw_sql(sql).execute(&mut conn).await.map(drop)
            }
            Database::Postgres(database) => {
                let mut conn = database.connect().await;
                sqlx::raw_sql(sql).execute(&mut conn).await.map(drop)
            }
            Database::Mysql(database) => {
                let mut conn = database.connect().await;
                sqlx::raw_sql(sql).execute(&mut conn).await.map(drop)
            }
        }
        .unwrap();
    }
}

impl SqliteFile {
    /// `None` while the file is not there.
    async fn connect(&self) -> Option<SqliteConnection> {
        let options = SqliteConnectOptions::new().filename(&self.path);
        SqliteConnection::connect_with(&options).await.ok()
    }
}

impl PgDatabase {
    fn create() -> Self {
        let server = server_url("ES_POSTGRES_URL").parse().expect("ES_POSTGRES_URL holds a URL");
        let database = PgDatabase { server, name: new_name() };
        // A test that was killed may have left one of this name.
        database.on_server(&["drop database if exists {} with (force)", "create database {}"]);
        database
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.options()).await.unwrap()
    }

    fn on_server(&self, statements: &[&str]) {
        block_on(async {
            let mut conn = PgConnection::connect_with(&self.server).await.unwrap();
            for statement in statements {
                let sql = AssertSqlSafe(statement.replace("{}", &self.name));
                sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
            }
        });
    }
}

impl Drop for PgDatabase {
    fn drop(&mut self) {
        self.on_server(&["drop database {} with (force)"]);
    }
}

impl MySqlDatabase {
    fn create() -> Self {
        let server = server_url("ES_MYSQL_URL").parse().expect("ES_MYSQL_URL holds a URL");
        let database = MySqlDatabase { server, name: new_name() };
        // A test that was killed may have left one of this name.
        database.on_server(&["drop database if exists {}", "create database {}"]);
        database
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn options(&self) -> MySqlConnectOptions {
        self.server.clone().database(&self.name)
    }

    pub(crate) async fn connect(&self) -> MySqlConnection {
        MySqlConnection::connect_with(&self.options()).await.unwrap()
    }

    pub(crate) fn on_server(&self, statements: &[&str]) {
        block_on(async {
            let mut conn = MySqlConnection::connect_with(&self.server).await.unwrap();
            for statement in statements {
                let sql = AssertSqlSafe(statement.replace("{}", &self.name));
                sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
            }
        });
    }
}

impl Drop for MySqlDatabase {
    fn drop(&mut self) {
        self.on_server(&["drop database {}"]);
    }
}

fn server_url(variable: &str) -> String {
    let url = std::env::var(variable);
    url.unwrap_or_else(|_| panic!("set {variable}, or run `cargo xtask test`"))
}

/// A name for a database that nobody else uses.
fn new_name() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    format!("git_history_{}_{number}", std::process::id())
}

/// Waits for `future` on a thread of its own, for the test may run on a runtime already.
fn block_on(future: impl Future<Output = ()> + Send) {
    let wait = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(future);
    };
    std::thread::scope(|scope| scope.spawn(wait).join().unwrap());
}
