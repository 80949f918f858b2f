//! `cargo xtask bench`: measures the library beside the limit of each database and beside its peers.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::bail;
use clap::ValueEnum;
use xshell::Shell;

use crate::interrupt;
use crate::servers::{self, Options, Source};
use crate::step::step;
use crate::workspace::{self, Programs};

/// Where the figures are kept, below the workspace's root.
const DIRECTORY: &str = "target/bench";

/// The manifest of the benchmarks, which are a workspace of their own.
pub(crate) const MANIFEST: &str = "benchmarks/Cargo.toml";

/// How long the program may take to end after Ctrl-C, which it does not catch.
const PATIENCE: Duration = Duration::from_secs(5);

/// Room for the most connections a measure opens, and for what it writes: neither a cache that is
/// too small nor a checkpoint in each round is what is measured.
const POSTGRES_SETTINGS: [&str; 3] =
    ["max_connections=1200", "shared_buffers=1GB", "max_wal_size=8GB"];

/// The same for `MariaDB`.
const MARIADB_SETTINGS: [&str; 2] = ["max_connections=1200", "innodb_buffer_pool_size=1G"];

/// What `bench` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value_t = Scope::All)]
    scope: Scope,
    /// The database to measure on.
    #[arg(long, value_enum, default_value_t = Database::Postgres)]
    database: Database,
    /// Measures other libraries, too, which are compiled for it; PostgreSQL only.
    #[arg(long)]
    peers: bool,
    /// Cuts everything short, for figures that are not published.
    #[arg(long)]
    quick: bool,
    /// Fails when a figure is below its floor in benchmarks/floors.json.
    #[arg(long)]
    check: bool,
    /// How often each figure is taken; the median counts.
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    // A server of ours is durable here whatever they say.
    #[command(flatten)]
    options: Options,
}

/// Some of the measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// Appends and imports.
    Append,
    /// Reads of streams and of the log, and the horizon.
    Read,
    /// Projections: throughput and memory.
    Project,
    /// From a commit to the handler; the cost of waiting; events lost.
    Latency,
    /// Appends to a table that has grown.
    Growth,
    /// What is sent to workers that share a projection; PostgreSQL only.
    Partitions,
    /// All of them.
    All,
    /// Nothing: writes docs/benchmarks.md and its charts from what was measured before.
    Docs,
}

/// The databases that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Database {
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

/// Builds the benchmarks, starts a server and hands over to the program, whose exit code is the
/// answer.
pub(crate) fn run(sh: &Shell, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.peers && arguments.database != Database::Postgres {
        bail!("--peers is for --database postgres, the one database that all of them have");
    }
    if arguments.scope == Scope::Partitions && arguments.database != Database::Postgres {
        bail!("partitions are measured with --database postgres only");
    }
    arguments.options.check()?;
    let _directory = sh.push_dir(workspace::root()?);
    let programs = step("build", || build(sh, arguments.peers))?;
    let mut command = Command::new(programs.path("benchmarks")?);
    command.current_dir(sh.current_dir()).args(["--directory", DIRECTORY]);
    command.args(flags(arguments));
    if arguments.scope == Scope::Docs {
        return follow(&mut command);
    }
    let Some(database) = arguments.database.server() else {
        let files = format!("{DIRECTORY}/sqlite");
        sh.remove_path(&files)?;
        sh.create_dir(&files)?;
        command.args(["--database-url", &format!("sqlite://{files}/db")]);
        return follow(&mut command);
    };
    let server = step("server", || Source::open(database, &options(&arguments.options)))?;
    command.args(["--database-url", &server.url()]);
    follow(&mut command)
}

fn build(sh: &Shell, peers: bool) -> anyhow::Result<Programs> {
    let mut arguments = vec!["--release", "--manifest-path", MANIFEST];
    if peers {
        arguments.extend(["--features", "peers"]);
    }
    Programs::build_with(sh, &arguments)
}

fn follow(command: &mut Command) -> anyhow::Result<ExitCode> {
    let status = interrupt::follow(command, PATIENCE)?;
    Ok(ExitCode::from(interrupt::exit_code(status)))
}

/// What the program is told of what `bench` is told.
fn flags(arguments: &Arguments) -> Vec<String> {
    let flags =
        [("--peers", arguments.peers), ("--quick", arguments.quick), ("--check", arguments.check)];
    let set = flags.into_iter().filter(|(_, is_set)| *is_set);
    let mut flags: Vec<_> = set.map(|(flag, _)| flag.to_owned()).collect();
    if let Some(rounds) = arguments.rounds {
        flags.extend(["--rounds".to_owned(), rounds.to_string()]);
    }
    let scope = arguments.scope.to_possible_value();
    flags.extend(scope.map(|scope| scope.get_name().to_owned()));
    flags
}

/// A durable server with room. What the user sets comes last, and counts.
fn options(given: &Options) -> Options {
    let with = |ours: &[&str], given: &[String]| {
        ours.iter().map(|&setting| setting.to_owned()).chain(given.iter().cloned()).collect()
    };
    Options {
        postgres_bin: given.postgres_bin.clone(),
        durable: true,
        postgres_setting: with(&POSTGRES_SETTINGS, &given.postgres_setting),
        mariadb_setting: with(&MARIADB_SETTINGS, &given.mariadb_setting),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Bench {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &str) -> Arguments {
        Bench::parse_from(line.split_whitespace()).arguments
    }

    #[test]
    fn the_program_is_told_what_bench_is_told() {
        assert_eq!(flags(&parse("bench")), ["all"]);
        let arguments = parse("bench latency --peers --quick --check --rounds 7");
        assert_eq!(
            flags(&arguments),
            ["--peers", "--quick", "--check", "--rounds", "7", "latency"]
        );
    }

    #[test]
    fn a_setting_of_the_user_comes_behind_ours() {
        let options = options(&parse("bench --postgres-setting shared_buffers=2GB").options);
        assert!(options.durable);
        assert_eq!(options.postgres_setting.last().unwrap(), "shared_buffers=2GB");
        assert_eq!(options.mariadb_setting, MARIADB_SETTINGS);
    }

    #[test]
    fn peers_are_for_postgres() {
        let sh = Shell::new().unwrap();
        let error = run(&sh, &parse("bench --peers --database sqlite")).unwrap_err();
        assert!(error.to_string().contains("--peers is for --database postgres"), "{error}");
    }
}
