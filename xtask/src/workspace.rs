//! Where the workspace is, and its programs.

use std::path::{Path, PathBuf};

use anyhow::Context;
use xshell::{Shell, cmd};

/// What every call of cargo is given, so that each reuses what the others compiled.
pub(crate) const EVERYTHING: [&str; 2] = ["--workspace", "--all-features"];

/// The directory of the workspace's Cargo.toml, whatever the current directory is.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    // Set by `cargo run`; a copied target directory keeps the path it was compiled under.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = manifest.parent().context("xtask is not below the workspace")?;
    Ok(root.to_owned())
}

/// Programs, as cargo built them.
pub(crate) struct Programs {
    messages: String,
}

impl Programs {
    /// Builds them all.
    pub(crate) fn build(sh: &Shell) -> anyhow::Result<Programs> {
        Programs::build_with(sh, &EVERYTHING)
    }

    /// Builds the programs that cargo chooses by `arguments`.
    pub(crate) fn build_with(sh: &Shell, arguments: &[&str]) -> anyhow::Result<Programs> {
        let format = "--message-format=json-render-diagnostics";
        let build = cmd!(sh, "cargo build {arguments...} --bins {format}");
        Ok(Programs { messages: build.read()? })
    }

    /// The path of the program `name`.
    pub(crate) fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        self.messages
            .lines()
            .find_map(|line| executable(line, name))
            .with_context(|| format!("cargo built no program {name}"))
    }
}

fn executable(message: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if message["target"]["name"] != name {
        return None;
    }
    message["executable"].as_str().map(|path| Path::new(path).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_of_a_program_is_found_among_cargos_messages() {
        let library = r#"{"target":{"name":"demo"},"executable":null}"#;
        let program = r#"{"target":{"name":"demo"},"executable":"/t/demo"}"#;
        assert_eq!(executable(library, "demo"), None);
        assert_eq!(executable(program, "other"), None);
        assert_eq!(executable(program, "demo"), Some(PathBuf::from("/t/demo")));
    }

    #[test]
    fn the_root_holds_this_crate() {
        assert!(root().unwrap().join("xtask/src/workspace.rs").exists());
    }
}
