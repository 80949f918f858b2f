//! `cargo xtask test`: every test of the workspace, with the servers they need.

mod servers;

use std::process::Command;
use std::time::Duration;

use anyhow::bail;
use xshell::{Shell, cmd};

use self::servers::Servers;
use crate::interrupt;
use crate::servers::Options;
use crate::step::step;
use crate::workspace::{self, EVERYTHING};

/// How long the tests may go on after Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `test` can be told.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Handed to `cargo test`, such as `-- conformance` for some tests or `-- -- --nocapture`.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Builds the tests, starts the servers, runs the tests, and stops the servers whatever happens.
pub(crate) fn run(sh: &Shell, arguments: &Arguments) -> anyhow::Result<()> {
    let _directory = sh.push_dir(workspace::root()?);
    let (cargo, harness) = split(&arguments.rest);
    arguments.options.check()?;
    // Cargo cannot build documentation's tests beforehand.
    if !cargo.iter().any(|argument| argument == "--doc") {
        cmd!(sh, "cargo test {EVERYTHING...} {cargo...} --no-run").run()?;
    }
    interrupt::catch()?;
    let servers = step("servers", || Servers::start(&arguments.options))?;
    let skip = servers.skip().iter().flat_map(|name| ["--skip", name]);
    let command = cmd!(sh, "cargo test {EVERYTHING...} {cargo...} -- {skip...} {harness...}");
    eprintln!("$ {command}");
    let mut command = Command::from(command);
    command.envs(servers.variables().iter().map(|(name, value)| (name, value)));
    let status = interrupt::follow(&mut command, PATIENCE)?;
    drop(servers);
    interrupt::check()?;
    if !status.success() {
        bail!("tests failed; see above");
    }
    Ok(())
}

/// What is meant for cargo, and what for the tests themselves.
fn split(rest: &[String]) -> (&[String], &[String]) {
    let Some(at) = rest.iter().position(|argument| argument == "--") else {
        return (rest, &[]);
    };
    (&rest[..at], &rest[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_behind_a_second_divider_are_the_tests_own() {
        let rest = ["conformance", "--", "--nocapture"].map(str::to_owned);
        assert_eq!(split(&rest), (&rest[..1], &rest[2..]));
        assert_eq!(split(&rest[..1]), (&rest[..1], &rest[..0]));
    }
}
