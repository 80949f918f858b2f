//! A git repository, read through the `git` program with every setting that could change its
//! answer fixed, so that the same commits give the same numbers on every machine and every run.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail};

/// Hashes of commits, each with the hash of its parent, or an empty string if it has none.
pub(crate) type CommitParents = HashMap<String, String>;

/// A repository and the commit its HEAD was at when it was opened.
pub(crate) struct Repository {
    path: PathBuf,
    head: String,
    empty_tree: String,
}

impl Repository {
    /// Finds the repository at `path` or above it.
    pub(crate) async fn open(path: &Path) -> anyhow::Result<Repository> {
        let found = output(git(path).args(["rev-parse", "--git-dir"])).await?;
        if !found.status.success() {
            bail!(
                "{} is not in a git repository this program can read: {}; \
                 give the path of one with --repo",
                path.display(),
                String::from_utf8_lossy(&found.stderr).trim()
            );
        }
        let head = output(git(path).args(["rev-parse", "--verify", "-q", "HEAD^{commit}"])).await?;
        if !head.status.success() {
            bail!(
                "the git repository at {} has no commits yet: commit something, \
                 or give the path of another with --repo",
                path.display()
            );
        }
        let empty_tree = checked(git(path).args(["hash-object", "-t", "tree", "--stdin"])).await?;
        Ok(Repository {
            path: path.to_owned(),
            head: text(&head.stdout),
            empty_tree: text(&empty_tree),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// `git log` of HEAD without merges, with more `arguments`.
    pub(crate) fn log(&self, arguments: &[&str]) -> Command {
        let mut command = git(&self.path);
        // Attributes decide which files count as binary, and change with the working tree.
        command.env("GIT_ATTR_SOURCE", &self.empty_tree).env("GIT_ATTR_NOSYSTEM", "1");
        command.args(["-c", "core.attributesFile=/dev/null", "-c", "log.showRoot=true"]);
        command.args(["-c", "core.bigFileThreshold=512m", "log", "--no-merges", "--no-renames"]);
        command.args(["--diff-algorithm=myers", "--indent-heuristic", "--no-relative"]);
        command.args(["--no-ext-diff", "--no-textconv", "--no-color", "--no-show-signature"]);
        command.args(["--submodule=short", "--ignore-submodules=none", "--encoding=UTF-8"]);
        command.args(arguments).args([&self.head, "--"]);
        command
    }

    /// Every commit the program is about to read.
    pub(crate) async fn commits(&self) -> anyhow::Result<CommitParents> {
        let listing = checked(&mut self.log(&["--format=%H %P"])).await?;
        let listing = String::from_utf8(listing).context("git printed a hash that is not text")?;
        let split = |line: &str| match line.split_once(' ') {
            Some((hash, parent)) => (hash.to_owned(), parent.to_owned()),
            None => (line.to_owned(), String::new()),
        };
        Ok(listing.lines().map(split).collect())
    }
}

/// Refuses to go on if the database holds commits that are not in the repository, or not with
/// the same parent: an event once appended stays, so the two could never agree again.
pub(crate) fn check_same_history(
    known: &CommitParents,
    listed: &CommitParents,
) -> anyhow::Result<()> {
    let mut gone: Vec<&str> = known
        .iter()
        .filter(|(hash, parent)| listed.get(*hash) != Some(*parent))
        .map(|(hash, _)| hash.as_str())
        .collect();
    gone.sort_unstable();
    match gone.as_slice() {
        [] => Ok(()),
        [first, ..] => bail!(
            "the database holds {} commits that HEAD does not reach in this form, such as {first}: \
             the history was rewritten or deepened, another branch is checked out, or the database \
             belongs to another repository; check out what was there, or start again with another \
             database in --database-url",
            gone.len()
        ),
    }
}

fn git(path: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(path).args(["--no-pager", "--no-replace-objects"]);
    command.env("LC_ALL", "C").stdin(Stdio::null());
    // Inside a git hook these name the hook's repository, whatever `-C` says.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"] {
        command.env_remove(variable);
    }
    command
}

async fn output(command: &mut Command) -> anyhow::Result<Output> {
    let command = std::mem::replace(command, Command::new("git"));
    tokio::process::Command::from(command).kill_on_drop(true).output().await.map_err(explain_spawn)
}

async fn checked(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = output(command).await?;
    if !output.status.success() {
        bail!("git failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// Says what to do when `git` could not be started.
pub(crate) fn explain_spawn(error: std::io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        ErrorKind::NotFound => "cannot find the program `git`: install it or add it to PATH",
        _ => "cannot start the program `git`",
    };
    anyhow::Error::new(error).context(advice)
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commits(pairs: &[(&str, &str)]) -> CommitParents {
        pairs.iter().map(|(hash, parent)| ((*hash).to_owned(), (*parent).to_owned())).collect()
    }

    #[test]
    fn new_commits_are_the_same_history() {
        let known = commits(&[("a", "")]);
        assert!(check_same_history(&known, &commits(&[("a", ""), ("b", "a")])).is_ok());
    }

    #[test]
    fn a_commit_that_is_gone_or_has_another_parent_is_another_history() {
        let known = commits(&[("a", ""), ("b", "a")]);
        assert!(check_same_history(&known, &commits(&[("a", "")])).is_err());
        assert!(check_same_history(&known, &commits(&[("a", "z"), ("b", "a")])).is_err());
    }
}
