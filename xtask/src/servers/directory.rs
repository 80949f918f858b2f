//! The directory of one server: its data, its log, and nothing else.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::account::Account;
use crate::workspace;

/// Where servers live, below the workspace's root.
pub(super) const SERVERS: &str = "target/servers";

/// The log's last lines that an error shows.
const TAIL_LINES: usize = 12;

/// The file whose lock is held as long as somebody takes care of the directory.
const LOCK: &str = "lock";

/// A directory that is removed with this value.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    lock: File,
    kept: bool,
}

impl Directory {
    /// A new one that belongs to `account`: below the workspace, or among the temporary files
    /// where `account` may not enter the workspace.
    pub(super) fn create(name: &str, account: &Account) -> anyhow::Result<Directory> {
        let places = [workspace::root()?.join(SERVERS), std::env::temp_dir(), "/tmp".into()];
        for place in &places {
            let directory = Directory::create_in(place, name)?;
            account.give(&directory.path)?;
            if account.can_write(&directory.path)? {
                return Ok(directory);
            }
        }
        let [workspace, temporary, _] = places.map(|place| place.display().to_string());
        let who = account.remark();
        anyhow::bail!("neither {workspace} nor {temporary} can be entered{who}: set TMPDIR")
    }

    fn create_in(place: &Path, name: &str) -> anyhow::Result<Directory> {
        let create = || {
            fs::create_dir_all(place)?;
            let path = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(place)?;
            // Locked before it has its name, so that nobody finds it unlocked.
            let unnamed = path.path().join("unnamed");
            let lock = File::create(&unnamed)?;
            lock.lock()?;
            fs::rename(unnamed, path.path().join(LOCK))?;
            Ok::<_, std::io::Error>(Directory { path: path.keep(), lock, kept: false })
        };
        create().with_context(|| format!("cannot create a directory in {}", place.display()))
    }

    /// Removes what is left of servers that could not clean up, as when the machine went down.
    pub(super) fn remove_abandoned() -> anyhow::Result<()> {
        let Ok(entries) = workspace::root()?.join(SERVERS).read_dir() else {
            return Ok(());
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if is_abandoned(&path) {
                eprintln!("removing what is left of a server: {}", path.display());
                fs::remove_dir_all(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// For a process that takes care of the directory too: while it holds this, the directory is
    /// not abandoned.
    pub(super) fn lock(&self) -> anyhow::Result<File> {
        self.lock.try_clone().context("cannot share a lock")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a server is, for those who watch it start.
    pub(super) fn remark(&self, port: u16) -> String {
        format!("port {port}, files in {}", self.path.display())
    }

    /// Where the server's data is.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The last lines of the server's log, indented.
    pub(super) fn log_tail(&self) -> String {
        let log = fs::read(self.path.join("log")).unwrap_or_default();
        tail(&String::from_utf8_lossy(&log))
    }

    /// Leaves the directory to the command that stops the server.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.kept || !self.path.exists() {
            return;
        }
        if let Err(err) = fs::remove_dir_all(&self.path)
            && self.path.exists()
        {
            eprintln!("cannot remove {}: {err}", self.path.display());
        }
    }
}

fn is_abandoned(directory: &Path) -> bool {
    File::open(directory.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

/// The last lines of what a server or a tool said, indented.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.len().saturating_sub(TAIL_LINES);
    let indented: Vec<_> = lines[last..].iter().map(|line| format!("\n    {line}")).collect();
    indented.concat()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let lines: Vec<_> = (1..=TAIL_LINES + 3).map(|line| format!("line {line}\n\n")).collect();
        let tail = tail(&lines.concat());
        assert!(tail.starts_with("\n    line 4\n    line 5\n"), "{tail}");
        assert!(tail.ends_with("line 15"), "{tail}");
    }

    #[test]
    fn a_directory_is_abandoned_when_nobody_holds_its_lock() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::create_in(place.path(), "one").unwrap();
        let (path, other) = (directory.path().to_owned(), directory.lock().unwrap());
        directory.keep();
        assert!(!is_abandoned(&path));
        drop(other);
        // A process that another test starts right now shares the lock until it is a program.
        let dropped = Instant::now();
        while !is_abandoned(&path) {
            assert!(dropped.elapsed() < Duration::from_secs(10));
        }
        assert!(!is_abandoned(place.path()));
    }

    #[test]
    fn the_directory_goes_with_its_value_unless_it_is_kept() {
        let place = tempfile::tempdir().unwrap();
        let gone = Directory::create_in(place.path(), "one").unwrap();
        let path = gone.path().to_owned();
        assert!(path.exists());
        drop(gone);
        assert!(!path.exists());
        let kept = Directory::create_in(place.path(), "other").unwrap();
        let path = kept.path().to_owned();
        kept.keep();
        assert!(path.exists());
    }
}
