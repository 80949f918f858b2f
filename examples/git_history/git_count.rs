//! The same numbers straight from git, without the event store: what verification compares with.
//!
//! Nothing here is shared with the import but the settings git runs under: another output format,
//! newest commit first, its own parser, its own rule for the paths no stream can have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use crate::refused_paths::Refusal;
use crate::repository::explain_spawn;

/// The arguments [`count`] expects its `git log` to have.
pub(crate) const LOG_ARGUMENTS: &[&str] = &["--numstat", "-z", "--format=commit %H %an"];

/// What git says.
#[derive(Debug, Default)]
pub(crate) struct GitCount {
    pub(crate) commits: HashMap<String, CommitCount>,
    pub(crate) files: HashMap<String, FileCount>,
    pub(crate) refused: BTreeMap<Refusal, i64>,
    pub(crate) events: i64,
}

/// What git says of one commit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitCount {
    pub(crate) events: i64,
    pub(crate) refused: i64,
}

/// What git says of one file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct FileCount {
    pub(crate) changes: i64,
    pub(crate) binary_changes: i64,
    pub(crate) added: i64,
    pub(crate) deleted: i64,
    pub(crate) authors: BTreeSet<String>,
}

/// Runs git and adds up what it prints; `None` if stopped.
pub(crate) fn count(
    mut log: Command,
    stop: &CancellationToken,
) -> anyhow::Result<Option<GitCount>> {
    log.stdout(Stdio::piped()).stderr(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut log, 0);
    let mut git = log.spawn().map_err(explain_spawn)?;
    let counted = read(&mut git, stop);
    if !matches!(counted, Ok(Some(_))) {
        // It may have ended by itself; either way it must not be left running or unwaited for.
        let _ = git.kill();
    }
    let status = git.wait().context("cannot wait for git")?;
    let counted = counted?;
    if counted.is_some() && !status.success() {
        bail!("git log failed while its history was read a second time ({status})");
    }
    Ok(counted)
}

fn read(git: &mut Child, stop: &CancellationToken) -> anyhow::Result<Option<GitCount>> {
    let output: ChildStdout = git.stdout.take().context("git has no output")?;
    count_output(output, stop)
}

fn count_output(output: impl Read, stop: &CancellationToken) -> anyhow::Result<Option<GitCount>> {
    let mut git = GitCount::default();
    let (mut hash, mut author) = (String::new(), String::new());
    for line in BufReader::with_capacity(256 * 1024, output).split(0) {
        let line = line.context("cannot read what git prints")?;
        let line = line.strip_prefix(b"\n").unwrap_or(&line);
        if stop.is_cancelled() {
            return Ok(None);
        }
        match line.strip_prefix(b"commit ") {
            Some(header) => {
                let header = String::from_utf8_lossy(header);
                let (named, by) = header.split_once(' ').context("git named no author")?;
                (hash, author) = (named.to_owned(), by.to_owned());
                git.commits.insert(hash.clone(), CommitCount::default());
            }
            None => git.add_file(line, &hash, &author)?,
        }
    }
    Ok(Some(git))
}

impl GitCount {
    fn add_file(&mut self, line: &[u8], hash: &str, author: &str) -> anyhow::Result<()> {
        let commit = self.commits.get_mut(hash).context("git named a file before a commit")?;
        let mut columns = line.splitn(3, |byte| *byte == b'\t');
        let mut column = || columns.next().context("git left out a column");
        let (added, deleted, path) = (column()?, column()?, column()?);
        if let Some(refusal) = refusal(path) {
            *self.refused.entry(refusal).or_default() += 1;
            commit.refused += 1;
            return Ok(());
        }
        self.events += 1;
        commit.events += 1;
        let path = String::from_utf8(path.to_owned())?;
        self.files.entry(path).or_default().add(added, deleted, author)
    }
}

impl FileCount {
    fn add(&mut self, added: &[u8], deleted: &[u8], author: &str) -> anyhow::Result<()> {
        self.changes += 1;
        self.authors.insert(author.to_owned());
        if added == b"-" {
            self.binary_changes += 1;
            return Ok(());
        }
        self.added += std::str::from_utf8(added)?.parse::<i64>()?;
        self.deleted += std::str::from_utf8(deleted)?.parse::<i64>()?;
        Ok(())
    }
}

fn refusal(path: &[u8]) -> Option<Refusal> {
    let Ok(text) = std::str::from_utf8(path) else {
        return Some(Refusal::NotUtf8);
    };
    let is_outer_space = |char: Option<char>| char.is_none_or(char::is_whitespace);
    if path.len() > 255 {
        Some(Refusal::TooLong)
    } else if text.chars().any(|char| matches!(char, '\0'..='\x1f' | '\x7f'..='\u{9f}')) {
        Some(Refusal::ControlCharacter)
    } else if is_outer_space(text.chars().next()) || is_outer_space(text.chars().last()) {
        Some(Refusal::OuterWhiteSpace)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(output: &str) -> GitCount {
        let counted = count_output(output.as_bytes(), &CancellationToken::new());
        counted.unwrap().unwrap()
    }

    #[test]
    fn changes_are_added_up_by_file() {
        let git = counted(
            "commit 2 Ada\0\n3\t1\ta\0-\t-\tb\0commit 1 Bob\0\n1\t0\ta\x000\t0\tc \0commit 0 Bob\0",
        );
        let authors = ["Ada", "Bob"].map(String::from).into();
        let a = FileCount { changes: 2, binary_changes: 0, added: 4, deleted: 1, authors };
        assert_eq!(git.files["a"], a);
        assert_eq!(git.files["b"].binary_changes, 1);
        assert_eq!(git.commits["1"], CommitCount { events: 1, refused: 1 });
        assert_eq!((git.commits.len(), git.events), (3, 3));
        assert_eq!(git.refused, [(Refusal::OuterWhiteSpace, 1)].into());
    }
}
