//! `cargo xtask db`: database servers for someone who develops.

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::interrupt;
use crate::servers::{Database, Options, Record, Source};

/// How long a command may go on after Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `db` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Starts a server that outlives the command and prints where it is, to be read by a shell:
    /// `eval "$(cargo xtask db start)"`.
    Start {
        /// Which server.
        #[arg(long, value_enum, default_value_t = Choice::Postgres)]
        database: Choice,
        #[command(flatten)]
        options: Options,
    },
    /// Stops what `start` started and removes its data.
    Stop {
        /// Which server.
        #[arg(long, value_enum, default_value_t = Choice::All)]
        database: Choice,
    },
    /// Prints the URL of what `start` started.
    Url {
        /// Which server.
        #[arg(long, value_enum, default_value_t = Choice::Postgres)]
        database: Choice,
    },
    /// Runs a command with a new server that stops when the command ends.
    Run {
        /// Which server.
        #[arg(long, value_enum, default_value_t = Choice::Postgres)]
        database: Choice,
        #[command(flatten)]
        options: Options,
        /// The command, which finds the server in `ES_POSTGRES_URL` or `ES_MYSQL_URL`.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    Postgres,
    /// Runs `MariaDB`.
    Mysql,
    All,
}

impl Choice {
    fn databases(self) -> &'static [Database] {
        match self {
            Choice::Postgres => &[Database::Postgres],
            Choice::Mysql => &[Database::Mysql],
            Choice::All => &Database::ALL,
        }
    }
}

/// Does what `arguments` ask for.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.action {
        Action::Start { database, options } => {
            for &database in database.databases() {
                start(database, options)?;
            }
        }
        Action::Stop { database } => {
            for &database in database.databases() {
                stop(database)?;
            }
        }
        Action::Url { database } => {
            for &database in database.databases() {
                println!("{}", url(database)?);
            }
        }
        Action::Run { database, options, command } => {
            return run_with(database.databases(), options, command);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn start(database: Database, options: &Options) -> anyhow::Result<()> {
    let url = match Record::find(database)? {
        Some(record) => {
            eprintln!("a server for {database} is running already");
            record.url
        }
        None => Record::start(database, options)?.url,
    };
    println!("export {}={url}", database.variable());
    Ok(())
}

fn stop(database: Database) -> anyhow::Result<()> {
    let stopped = Record::stop(database)?;
    eprintln!("{database}: {}", if stopped { "stopped" } else { "no server was running" });
    Ok(())
}

fn url(database: Database) -> anyhow::Result<String> {
    let record = Record::find(database)?.with_context(|| {
        format!("no server for {database} is running: `cargo xtask db start --database {database}`")
    })?;
    Ok(record.url)
}

fn run_with(
    databases: &[Database],
    options: &Options,
    command: &[OsString],
) -> anyhow::Result<ExitCode> {
    let Some((program, arguments)) = command.split_first() else {
        bail!("there is no command to run");
    };
    let mut command = Command::new(program);
    command.args(arguments);
    let mut sources = Vec::new();
    for &database in databases {
        let source = Source::open(database, options)?;
        command.env(database.variable(), source.url());
        sources.push(source);
    }
    let status = interrupt::follow(&mut command, PATIENCE)?;
    Ok(ExitCode::from(interrupt::exit_code(status)))
}
