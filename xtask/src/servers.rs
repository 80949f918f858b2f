//! Private database servers: found or installed, started on a free port, and stopped when their
//! value is dropped or this process dies.

mod account;
mod directory;
mod install;
mod mariadb;
mod pgbouncer;
mod postgres;
mod process;
mod record;

use std::fmt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use self::directory::Directory;
pub(crate) use self::mariadb::MariaDb;
pub(crate) use self::pgbouncer::PgBouncer;
pub(crate) use self::postgres::Postgres;
pub(crate) use self::record::Record;
use crate::interrupt;

/// What a server of ours is asked for, beside its kind.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Options {
    /// The directory of PostgreSQL's programs, such as /usr/lib/postgresql/18/bin, or the `bin` of
    /// a release unpacked anywhere [default: `ES_POSTGRES_BIN`, else those on the PATH, else the
    /// newest in /usr/lib/postgresql].
    #[arg(long, value_name = "DIR")]
    pub(crate) postgres_bin: Option<PathBuf>,
    /// Commits survive a power cut, as in production; otherwise the servers never wait for the
    /// disk.
    #[arg(long)]
    pub(crate) durable: bool,
    /// A setting of PostgreSQL, such as `shared_buffers=1GB`; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = postgres::setting)]
    pub(crate) postgres_setting: Vec<String>,
    /// A setting of `MariaDB`, such as `innodb_autoinc_lock_mode=1`; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) mariadb_setting: Vec<String>,
}

impl Options {
    /// Fails where starting a server would, before anything else takes its time.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let Some(bin) = &self.postgres_bin else {
            return Ok(());
        };
        postgres::check(bin)
    }
}

/// The databases that need a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Database {
    Postgres,
    /// Runs `MariaDB`.
    Mysql,
}

impl Database {
    /// All of them.
    pub(crate) const ALL: [Database; 2] = [Database::Postgres, Database::Mysql];

    /// The variable that tells programs and tests where the database is.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Database::Postgres => "ES_POSTGRES_URL",
            Database::Mysql => "ES_MYSQL_URL",
        }
    }

    /// The database the user wants used instead of a server of ours.
    pub(crate) fn given(self) -> Option<String> {
        std::env::var(self.variable()).ok().filter(|url| !url.is_empty())
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Database::Postgres => "postgres",
            Database::Mysql => "mysql",
        })
    }
}

/// A database to work on. A server of ours stops when this is dropped.
#[derive(Debug)]
pub(crate) enum Source {
    /// The user's.
    Given(String),
    /// A private PostgreSQL.
    Postgres(Postgres),
    /// A private `MariaDB`.
    MariaDb(MariaDb),
}

impl Source {
    /// The database the user gave, or else a new server that ends with this process.
    pub(crate) fn open(database: Database, options: &Options) -> anyhow::Result<Source> {
        if let Some(url) = database.given() {
            eprintln!("{} is set: no server is started for {database}", database.variable());
            return Ok(Source::Given(url));
        }
        Source::start(database, options, Lifetime::ThisProcess)
    }

    /// A new server.
    pub(crate) fn start(
        database: Database,
        options: &Options,
        lifetime: Lifetime,
    ) -> anyhow::Result<Source> {
        interrupt::catch()?;
        Directory::remove_abandoned()?;
        Ok(match database {
            Database::Postgres => Source::Postgres(Postgres::start(options, lifetime)?),
            Database::Mysql => Source::MariaDb(MariaDb::start(options, lifetime)?),
        })
    }

    /// Where the database is: a user who may do everything, without a password.
    pub(crate) fn url(&self) -> String {
        match self {
            Source::Given(url) => url.clone(),
            Source::Postgres(server) => server.url(),
            Source::MariaDb(server) => server.url(),
        }
    }

    /// The data and log of a server of ours.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        let process = match self {
            Source::Given(_) => return None,
            Source::Postgres(server) => server.process(),
            Source::MariaDb(server) => server.process(),
        };
        process.directory().map(Path::to_owned)
    }

    /// Leaves a server of ours running.
    fn detach(self) {
        match self {
            Source::Given(_) => {}
            Source::Postgres(server) => server.into_process().detach(),
            Source::MariaDb(server) => server.into_process().detach(),
        }
    }
}

/// When a server stops, unless its value is dropped before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// With this process, however it ends.
    ThisProcess,
    /// When a [`Record`] of it says so.
    UntilStopped,
}
