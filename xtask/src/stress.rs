//! `cargo xtask stress`: the never-skip, exactly-once torture.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum;
use xshell::Shell;

use crate::interrupt;
use crate::servers::{self, Options, Source};
use crate::step::step;
use crate::workspace::{self, Programs};

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

/// The databases that can be tortured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Database {
    Postgres,
    /// Runs on `MariaDB`.
    Mysql,
}

/// Starts a server and hands over to the program, whose exit code is the answer.
pub(crate) fn run(sh: &Shell, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.isolation.is_some() && arguments.database != Database::Mysql {
        bail!("--isolation is for --database mysql: elsewhere it cannot be chosen, leave it out");
    }
    let root = workspace::root()?;
    let _directory = sh.push_dir(&root);
    let programs = step("build", || Programs::build(sh))?;
    let kind = match arguments.database {
        Database::Postgres => servers::Database::Postgres,
        Database::Mysql => servers::Database::Mysql,
    };
    let source = step("server", || Source::open(kind, &arguments.options))?;
    let mut command = Command::new(programs.path("stress")?);
    command.current_dir(&root).args(["--database-url", &source.url()]);
    command.args(["--seconds", &arguments.seconds.to_string()]);
    command.args(["--writers", &arguments.writers.to_string()]);
    if let Some(seed) = arguments.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if let Some(isolation) = &arguments.isolation {
        command.args(["--isolation", isolation]);
    }
    let status = interrupt::follow(&mut command, PATIENCE)?;
    Ok(ExitCode::from(interrupt::exit_code(status)))
}
