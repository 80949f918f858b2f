//! `cargo xtask stress`: the never-skip, exactly-once torture, of the store and of workers, and the
//! survival of faults.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum;
use xshell::Shell;

use crate::interrupt;
use crate::servers::{self, Options, Source};
use crate::step::step;
use crate::workspace::{self, Programs};

/// Where the files of `SQLite` are, below the workspace's root.
const DIRECTORY: &str = "target/stress";

/// Of `MariaDB`: a commit is written at once, though not to the disk.
const COMMITS_SURVIVE_A_KILL: &str = "innodb-flush-log-at-trx-commit=2";

/// How long the program may take to end its transactions after Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `stress` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The database to torture.
    #[arg(long, value_enum)]
    database: Database,
    /// How long the writers write.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many writers there are.
    #[arg(long, default_value_t = 16)]
    writers: u32,
    /// Tortures workers that share a projection: they join, leave, are killed and stopped, and the
    /// number of partitions changes.
    #[arg(long, conflicts_with = "faults")]
    projections: bool,
    /// Lets the database, the network, the handlers and their processes fail in every way, while
    /// workers run two projections and writers commit; the server is restarted.
    #[arg(long)]
    faults: bool,
    /// Repeats the random choices of an earlier run, which printed it.
    #[arg(long)]
    seed: Option<u64>,
    /// The isolation level of the writers' transactions, for `--database mysql` [default: both,
    /// half of the writers each].
    #[arg(long, value_parser = ["read-committed", "repeatable-read", "both"])]
    isolation: Option<String>,
    #[command(flatten)]
    options: Options,
}

impl Arguments {
    /// What a server of ours is asked for.
    fn options(&self) -> Options {
        let mut options = self.options.clone();
        if self.faults {
            // What was committed must be there after the server was killed.
            options.mariadb_setting.push(COMMITS_SURVIVE_A_KILL.to_owned());
        }
        options
    }
}

/// The databases that can be tortured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Database {
    /// With `--projections` or `--faults` only: with one writer at a time, no event commits after a
    /// later one.
    Sqlite,
    Postgres,
    /// Runs on `MariaDB`.
    Mysql,
}

impl Database {
    /// The server it needs.
    fn server(self) -> Option<servers::Database> {
        match self {
            Database::Sqlite => None,
            Database::Postgres => Some(servers::Database::Postgres),
            Database::Mysql => Some(servers::Database::Mysql),
        }
    }
}

/// Starts a server and hands over to the program, whose exit code is the answer.
pub(crate) fn run(sh: &Shell, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.isolation.is_some() && arguments.database != Database::Mysql {
        bail!("--isolation is for --database mysql: elsewhere it cannot be chosen, leave it out");
    }
    let is_about_workers = arguments.projections || arguments.faults;
    if arguments.database == Database::Sqlite && !is_about_workers {
        bail!(
            "add --projections or --faults: where there is one writer at a time there is nothing \
             to skip"
        );
    }
    let root = workspace::root()?;
    let _directory = sh.push_dir(&root);
    let programs = step("build", || Programs::build(sh))?;
    let server = match arguments.database.server() {
        None => None,
        Some(server) => Some(step("server", || Source::open(server, &arguments.options()))?),
    };
    if server.is_none() {
        sh.create_dir(DIRECTORY)?;
    }
    let url = server.as_ref().map_or_else(|| format!("sqlite://{DIRECTORY}/db"), Source::url);
    let mut command = Command::new(programs.path("stress")?);
    command.current_dir(&root).args(["--database-url", &url]);
    command.args(["--seconds", &arguments.seconds.to_string()]);
    command.args(["--writers", &arguments.writers.to_string()]);
    if let Some(seed) = arguments.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if let Some(isolation) = &arguments.isolation {
        command.args(["--isolation", isolation]);
    }
    if arguments.projections {
        command.arg("--projections");
    }
    if arguments.faults {
        command.arg("--faults");
        if let Some(directory) = server.as_ref().and_then(Source::directory) {
            command.arg("--server-directory").arg(directory);
        }
    }
    let status = interrupt::follow(&mut command, PATIENCE)?;
    Ok(ExitCode::from(interrupt::exit_code(status)))
}
