//! The project's own commands, run as `cargo xtask …`; they need git and a Rust toolchain, and
//! some of them a database server, which they find or install.

mod bench;
mod ci;
mod db;
mod demo;
mod interrupt;
mod servers;
mod step;
mod stress;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xshell::Shell;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the whole library on real input: a git repository's history becomes events, is
    /// projected, and the result is checked against git.
    Demo(demo::Arguments),
    /// Tortures the library: writers that pause, roll back and commit out of order, readers and
    /// projections that are killed; counts what was skipped, repeated or reordered.
    Stress(stress::Arguments),
    /// Measures the library beside the plainest statements of each database and beside other
    /// libraries; `docs` writes docs/benchmarks.md from what was measured.
    Bench(bench::Arguments),
    /// Starts, stops and names database servers for someone who develops.
    Db(db::Arguments),
    /// Runs every test, doc tests too, with the servers they need.
    Test(test::Arguments),
    /// Runs what must pass before a change is merged: formatting, lints, docs, house rules,
    /// tests, demo.
    Ci,
    /// Checks the house rules no other tool checks.
    Tidy,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let sh = Shell::new()?;
    match command {
        Command::Demo(arguments) => return demo::run(&sh, arguments),
        Command::Stress(arguments) => return stress::run(&sh, arguments),
        Command::Bench(arguments) => return bench::run(&sh, arguments),
        Command::Db(arguments) => return db::run(arguments),
        Command::Test(arguments) => test::run(&sh, arguments)?,
        Command::Ci => ci::run(&sh)?,
        Command::Tidy => tidy::run()?,
    }
    Ok(ExitCode::SUCCESS)
}
