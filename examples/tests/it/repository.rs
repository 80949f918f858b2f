//! Small git repositories, made with `git fast-import`, which writes any path on any system.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A repository in a directory of its own.
pub(crate) struct Repository {
    directory: TempDir,
}

/// What a commit does to a file.
pub(crate) enum Change<'a> {
    /// Gives the file at this path this content.
    Write(&'a [u8], &'a [u8]),
    /// Removes the file at this path.
    Delete(&'a [u8]),
}

impl Repository {
    /// A repository without commits.
    pub(crate) fn new() -> Self {
        let repository = Repository { directory: TempDir::new().unwrap() };
        repository.git(&["init", "--quiet"]);
        repository.git(&["symbolic-ref", "HEAD", "refs/heads/main"]);
        repository
    }

    /// A repository of `commits` commits, each of which changes two of 50 files.
    pub(crate) fn of_commits(commits: usize) -> Self {
        let repository = Repository::new();
        let mut stream = Vec::new();
        for commit in 0..commits {
            let content = commit.to_string();
            let paths = [format!("src/{}.rs", commit % 50), format!("docs/{}.md", commit % 7)];
            let changes = paths.each_ref().map(|p| Change::Write(p.as_bytes(), content.as_bytes()));
            let author = format!("Author {}", commit % 3);
            write_commit(&mut stream, &author, "", &changes);
        }
        repository.import(&stream);
        repository
    }

    /// A shallow clone with the last `depth` commits.
    pub(crate) fn shallow_clone(&self, depth: u32) -> Self {
        let clone = Repository { directory: TempDir::new().unwrap() };
        let url = format!("file://{}", self.path().display());
        clone.git(&["clone", "--quiet", "--bare", "--depth", &depth.to_string(), &url, "."]);
        clone
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Adds a commit to `main`.
    pub(crate) fn commit(&self, author: &str, changes: &[Change<'_>]) {
        let has_parent = self.try_git(&["rev-parse", "--verify", "--quiet", "main"]);
        let parent = if has_parent { "from refs/heads/main^0\n" } else { "" };
        let mut stream = Vec::new();
        write_commit(&mut stream, author, parent, changes);
        self.import(&stream);
    }

    /// Runs git in the repository and expects it to succeed.
    pub(crate) fn git(&self, arguments: &[&str]) {
        assert!(self.try_git(arguments), "git {arguments:?}");
    }

    fn try_git(&self, arguments: &[&str]) -> bool {
        self.command(arguments).stdout(Stdio::null()).status().unwrap().success()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(self.path()).args(arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for person in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{person}_NAME"), "Merger");
            command.env(format!("GIT_{person}_EMAIL"), "merger@example.com");
        }
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(variable);
        }
        command
    }

    fn import(&self, stream: &[u8]) {
        let mut import = self.command(&["fast-import", "--quiet"]);
        let mut import = import.stdin(Stdio::piped()).spawn().unwrap();
        import.stdin.take().unwrap().write_all(stream).unwrap();
        assert!(import.wait().unwrap().success());
    }
}

/// Writes a commit in the format of `git fast-import`. Within one stream it follows the commit
/// before it; the first needs a line for its `parent`, if it has one.
fn write_commit(stream: &mut Vec<u8>, author: &str, parent: &str, changes: &[Change<'_>]) {
    let person = format!("{author} <a@example.com> 1700000000 +0000");
    writeln!(stream, "commit refs/heads/main\nauthor {person}\ncommitter {person}").unwrap();
    write!(stream, "data 7\nchanged\n{parent}").unwrap();
    for change in changes {
        match change {
            Change::Delete(path) => writeln!(stream, "D {}", quoted(path)).unwrap(),
            Change::Write(path, content) => {
                writeln!(stream, "M 100644 inline {}", quoted(path)).unwrap();
                writeln!(stream, "data {}", content.len()).unwrap();
                stream.extend_from_slice(content);
                stream.push(b'\n');
            }
        }
    }
    stream.push(b'\n');
}

/// A path in the quotes of git, with every byte escaped.
fn quoted(path: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for byte in path {
        write!(quoted, "\\{byte:03o}").unwrap();
    }
    quoted + "\""
}
