//! The commits of a repository as a stream, oldest first, read from one run of `git log`.

use std::process::Stdio;

use anyhow::{Context, bail};
use chrono::{DateTime, Datelike, Utc};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::repository::{Repository, explain_spawn};

/// A header begins with this byte, a line of `--numstat` with a digit or `-`, so the two cannot
/// be mistaken for each other whatever bytes a name or a path has.
const HEADER: u8 = 1;

/// Four fields and then the files, each ended by a NUL. `%an` and not `%aN`: the latter changes
/// with `.mailmap`, and the events of older commits would not change with it.
const LOG_ARGUMENTS: &[&str] =
    &["--reverse", "--numstat", "-z", "--format=%x01%H%x00%P%x00%an%x00%at"];

/// How much of git's error output is kept, in bytes.
const ERROR_BYTES_MAX: u64 = 64 * 1024;

/// One commit and the files it touched.
#[derive(Debug, PartialEq)]
pub(crate) struct Commit {
    pub(crate) hash: String,
    /// Empty for a root commit.
    pub(crate) parent: String,
    /// As the commit has it; bytes that are not UTF-8 are replaced by U+FFFD.
    pub(crate) author: String,
    /// `None` outside the years 1000 to 9999, which no event can hold.
    pub(crate) authored_at: Option<DateTime<Utc>>,
    pub(crate) files: Vec<TouchedFile>,
}

/// A file a commit touched. A binary file has no counts.
#[derive(Debug, PartialEq)]
pub(crate) struct TouchedFile {
    pub(crate) path: Vec<u8>,
    pub(crate) added: Option<i64>,
    pub(crate) deleted: Option<i64>,
}

/// A running `git log`. Dropping it ends the process.
pub(crate) struct GitLog {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    /// The commit whose files are being read.
    current: Option<Commit>,
}

impl GitLog {
    /// Starts git.
    pub(crate) fn start(repository: &Repository) -> anyhow::Result<GitLog> {
        let mut command = repository.log(LOG_ARGUMENTS);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C reaches every process of the terminal's group. Git must live on until the
        // current transaction is done.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = Command::from(command).kill_on_drop(true).spawn().map_err(explain_spawn)?;
        let stdout = child.stdout.take().context("git has no output")?;
        let stderr = child.stderr.take().context("git has no error output")?;
        let stderr = tokio::spawn(async move {
            let (mut kept, mut stderr) = (Vec::new(), stderr.take(ERROR_BYTES_MAX));
            // What git complains about only serves to explain that it failed.
            let _ = stderr.read_to_end(&mut kept).await;
            kept
        });
        let stdout = BufReader::with_capacity(256 * 1024, stdout);
        Ok(GitLog { child, stdout, stderr: Some(stderr), current: None })
    }

    /// The next commit; `None` after the last. A commit is only given out when it is complete:
    /// when the next one begins, or when git has ended well.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Commit>> {
        loop {
            let Some(field) = self.field().await? else {
                self.check_ended_well().await?;
                return Ok(self.current.take());
            };
            match (field.strip_prefix(&[HEADER]), &mut self.current) {
                (Some(hash), _) => {
                    let started = self.header(hash).await?;
                    if let Some(complete) = self.current.replace(started) {
                        return Ok(Some(complete));
                    }
                }
                (None, Some(commit)) => commit.files.push(parse_numstat(&field)?),
                (None, None) => bail!("git named a file before the first commit"),
            }
        }
    }

    async fn header(&mut self, hash: &[u8]) -> anyhow::Result<Commit> {
        let mut fields = [const { String::new() }; 3];
        for field in &mut fields {
            let bytes = self.field().await?.context("git ended within a commit's header")?;
            *field = String::from_utf8_lossy(&bytes).into_owned();
        }
        let [parent, author, authored_at] = fields;
        Ok(Commit {
            hash: String::from_utf8_lossy(hash).into_owned(),
            parent,
            author,
            authored_at: parse_time(&authored_at),
            files: Vec::new(),
        })
    }

    /// The bytes up to the next NUL; `None` at the end.
    async fn field(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let mut field = Vec::new();
        self.stdout.read_until(0, &mut field).await.context("cannot read what git prints")?;
        match field.pop() {
            None => Ok(None),
            Some(0) => Ok(Some(field)),
            Some(_) => {
                self.check_ended_well().await?;
                bail!("git ended in the middle of a line");
            }
        }
    }

    async fn check_ended_well(&mut self) -> anyhow::Result<()> {
        let status = self.child.wait().await.context("cannot wait for git")?;
        if status.success() {
            return Ok(());
        }
        let said = match self.stderr.take() {
            Some(stderr) => stderr.await.unwrap_or_default(),
            None => Vec::new(),
        };
        bail!("git log failed ({status}): {}", String::from_utf8_lossy(&said).trim());
    }
}

fn parse_time(seconds: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::from_timestamp(seconds.parse().ok()?, 0)?;
    (1000..=9999).contains(&time.year()).then_some(time)
}

/// Reads `added TAB deleted TAB path`; git puts a newline before the first file of a commit.
fn parse_numstat(field: &[u8]) -> anyhow::Result<TouchedFile> {
    let line = field.strip_prefix(b"\n").unwrap_or(field);
    let mut parts = line.splitn(3, |byte| *byte == b'\t');
    let (Some(added), Some(deleted), Some(path)) = (parts.next(), parts.next(), parts.next())
    else {
        bail!("git printed \"{}\" where the counts of a file belong", line.escape_ascii());
    };
    Ok(TouchedFile {
        path: path.to_owned(),
        added: parse_count(added)?,
        deleted: parse_count(deleted)?,
    })
}

fn parse_count(count: &[u8]) -> anyhow::Result<Option<i64>> {
    match count {
        b"-" => Ok(None),
        digits => Ok(Some(std::str::from_utf8(digits)?.parse().context("not a count of lines")?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_hold_tabs_newlines_and_bytes_that_are_not_utf8() {
        let file = parse_numstat(b"\n1\t20\ta\tb\nc\xff").unwrap();
        let path = b"a\tb\nc\xff".to_vec();
        assert_eq!(file, TouchedFile { path, added: Some(1), deleted: Some(20) });
    }

    #[test]
    fn a_binary_file_has_no_counts() {
        let file = parse_numstat(b"-\t-\timage.png").unwrap();
        assert_eq!((file.added, file.deleted), (None, None));
    }

    #[test]
    fn anything_else_is_an_error() {
        assert!(parse_numstat(b"").is_err());
        assert!(parse_numstat(b"one\t2\tpath").is_err());
    }
}
