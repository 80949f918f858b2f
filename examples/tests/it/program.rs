//! One run of `git_history` on a database of the test's own.

use std::path::PathBuf;
use std::process::{Command, Output};

use es_sqlite::sqlx::{self, AssertSqlSafe, Connection, SqliteConnection};
use migrate_gen::{Database, Schema};
use tempfile::TempDir;

use crate::repository::Repository;

/// A directory with an empty database's migrations, where the runs of one test happen.
pub(crate) struct Program {
    directory: TempDir,
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if it was killed.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let sql = Schema::new(Database::Sqlite).to_sql().unwrap();
        std::fs::create_dir(directory.path().join("migrations")).unwrap();
        std::fs::write(directory.path().join("migrations/0001_event_store.sql"), sql).unwrap();
        Program { directory }
    }

    /// The command, ready to be run in the program's directory.
    pub(crate) fn command(&self, repository: &Repository) -> Command {
        let mut command = self.command_on("sqlite://history.db", repository);
        command.args(["--migrations", "migrations"]);
        command
    }

    /// The command on another database, and without its migrations.
    pub(crate) fn command_on(&self, url: &str, repository: &Repository) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_git_history"));
        command.current_dir(self.directory.path()).arg("--repo").arg(repository.path());
        command.args(["--database-url", url]);
        command
    }

    pub(crate) fn run(&self, repository: &Repository) -> Ended {
        Ended::from(self.command(repository).output().unwrap())
    }

    /// Runs it and expects the last line to say so many commits and events, and exit code 0.
    #[track_caller]
    pub(crate) fn verifies(&self, repository: &Repository, commits: u32, events: u32) -> Ended {
        let ended = self.run(repository);
        let verified = format!("verified: {commits} commits, {events} events, 0 differences");
        assert_eq!((ended.last_line(), ended.code), (&*verified, Some(0)), "{ended:#?}");
        ended
    }

    /// The one number `sql` selects; `None` while the database or its tables are not there.
    pub(crate) async fn number(&self, sql: &str) -> Option<i64> {
        let mut conn = self.connect().await?;
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut conn).await.ok()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let mut conn = self.connect().await.unwrap();
        sqlx::query(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    }

    async fn connect(&self) -> Option<SqliteConnection> {
        let path: PathBuf = self.directory.path().join("history.db");
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.ok()
    }
}

impl Ended {
    pub(crate) fn last_line(&self) -> &str {
        self.stdout.lines().last().unwrap_or_default()
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
