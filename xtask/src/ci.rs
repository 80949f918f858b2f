//! `cargo xtask ci`: what must pass before a change is merged.

use std::process::ExitCode;

use anyhow::bail;
use xshell::{Shell, cmd};

use crate::step::step;
use crate::workspace::{self, EVERYTHING};
use crate::{bench, demo, test, tidy};

/// Runs every step; the first that fails ends it.
pub(crate) fn run(sh: &Shell) -> anyhow::Result<()> {
    let _directory = sh.push_dir(workspace::root()?);
    step("fmt", || Ok(cmd!(sh, "cargo fmt --all --check").run()?))?;
    let benchmarks = bench::MANIFEST;
    step("fmt, benchmarks", || {
        Ok(cmd!(sh, "cargo fmt --manifest-path {benchmarks} --check").run()?)
    })?;
    step("tidy", tidy::run)?;
    step("clippy", || {
        Ok(cmd!(sh, "cargo clippy {EVERYTHING...} --all-targets -- -D warnings").run()?)
    })?;
    step("doc", || {
        let doc = cmd!(sh, "cargo doc {EVERYTHING...} --no-deps");
        Ok(doc.env("RUSTDOCFLAGS", "-D warnings").run()?)
    })?;
    // The default features are what users see first; links into an optional module break there.
    step("doc, default features", || {
        let doc = cmd!(sh, "cargo doc --workspace --no-deps");
        Ok(doc.env("RUSTDOCFLAGS", "-D warnings").run()?)
    })?;
    step("test", || test::run(sh, &test::Arguments::default()))?;
    step("demo", || {
        // The file of an earlier run may hold commits that were amended since.
        let code = demo::run(sh, &demo::Arguments::fresh())?;
        if code != ExitCode::SUCCESS {
            bail!("the demo found differences or was interrupted; see above");
        }
        Ok(())
    })
}
