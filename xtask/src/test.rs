//! `cargo xtask test`: every test of the workspace.

use xshell::{Shell, cmd};

use crate::workspace::{self, EVERYTHING};

/// What `test` can be told.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// Handed to `cargo test`, such as `-- conformance` for some tests or `-- -- --nocapture`.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Runs the tests.
pub(crate) fn run(sh: &Shell, arguments: &Arguments) -> anyhow::Result<()> {
    let _directory = sh.push_dir(workspace::root()?);
    let rest = &arguments.rest;
    cmd!(sh, "cargo test {EVERYTHING...} {rest...}").run()?;
    Ok(())
}
