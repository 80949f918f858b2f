//! The user that servers run as: oneself, or for root an ordinary one, as database servers refuse
//! to run as root.

use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use nix::unistd::{User, geteuid};

/// Variables with these beginnings would change what the servers and their tools do.
const FOREIGN_VARIABLES: [&str; 3] = ["PG", "MYSQL_", "MARIADB_"];

/// The user that a server and its tools run as.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    other: Option<Other>,
}

/// A user other than the one who runs this program.
#[derive(Debug, Clone)]
struct Other {
    user: User,
    switch: Switch,
}

/// The program that becomes another user; `setpriv` does so without staying around.
#[derive(Debug, Clone)]
enum Switch {
    Setpriv(PathBuf),
    Runuser(PathBuf),
}

impl Account {
    /// Oneself; for root `preferred` if there is such a user, else `nobody`.
    pub(super) fn choose(preferred: &str) -> anyhow::Result<Account> {
        if !geteuid().is_root() {
            return Ok(Account { other: None });
        }
        let mut users = [preferred, "nobody"].into_iter().filter_map(|name| {
            User::from_name(name).ok().flatten().filter(|user| !user.uid.is_root())
        });
        let user = users.next().context(
            "a database server refuses to run as root, and there is neither a user \
             `nobody` nor one of its own: run this as an ordinary user",
        )?;
        Ok(Account { other: Some(Other { user, switch: Switch::find()? }) })
    }

    /// A call of `program` as this user, from a directory everybody may enter, with no variable
    /// set that the database's programs listen to.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.other {
            None => Command::new(program),
            Some(other) => other.command(program.as_ref()),
        };
        command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let plain = name.to_string_lossy();
            if FOREIGN_VARIABLES.iter().any(|beginning| plain.starts_with(beginning)) {
                command.env_remove(&name);
            }
        }
        command
    }

    /// Makes this user the owner of `path`.
    pub(super) fn give(&self, path: &Path) -> anyhow::Result<()> {
        let Some(Other { user, .. }) = &self.other else {
            return Ok(());
        };
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .with_context(|| format!("cannot give {} to the user {}", path.display(), user.name))
    }

    /// Whether this user can write into the directory `path`, which may lie below one that only
    /// root may enter.
    pub(super) fn can_write(&self, path: &Path) -> anyhow::Result<bool> {
        self.may("-w", path)
    }

    /// Whether this user can run the program `path`.
    pub(super) fn can_execute(&self, path: &Path) -> anyhow::Result<bool> {
        self.may("-x", path)
    }

    /// Asks `test`, which is all that the user switches to: on its way there root's rights last.
    fn may(&self, question: &str, path: &Path) -> anyhow::Result<bool> {
        if self.other.is_none() {
            return Ok(true);
        }
        let status = self.command("test").arg(question).arg(path).status();
        Ok(status.context("cannot run `test`")?.success())
    }

    /// `, as user postgres` where that is not oneself.
    pub(super) fn remark(&self) -> String {
        let name = self.other.as_ref().map(|other| format!(", as user {}", other.user.name));
        name.unwrap_or_default()
    }
}

impl Other {
    fn command(&self, program: &OsStr) -> Command {
        match &self.switch {
            Switch::Setpriv(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--reuid", &self.user.uid.to_string()]);
                command.args(["--regid", &self.user.gid.to_string()]);
                command.arg("--clear-groups").arg(program);
                command
            }
            Switch::Runuser(runuser) => {
                let mut command = Command::new(runuser);
                command.args(["-u", &self.user.name, "--"]).arg(program);
                command
            }
        }
    }
}

impl Switch {
    fn find() -> anyhow::Result<Switch> {
        if let Ok(setpriv) = which::which("setpriv") {
            return Ok(Switch::Setpriv(setpriv));
        }
        if let Ok(runuser) = which::which("runuser") {
            return Ok(Switch::Runuser(runuser));
        }
        bail!(
            "a database server refuses to run as root, and neither `setpriv` nor `runuser` is \
             installed: install util-linux, or run this as an ordinary user"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_runs_as_root() {
        let account = Account::choose("postgres").unwrap();
        let output = account.command("id").arg("-u").output().unwrap();
        assert_ne!(String::from_utf8(output.stdout).unwrap().trim(), "0");
    }

    #[test]
    fn a_directory_of_roots_own_is_noticed() {
        let account = Account::choose("nobody").unwrap();
        let closed = tempfile::tempdir().unwrap();
        assert_eq!(account.can_write(closed.path()).unwrap(), account.other.is_none());
        account.give(closed.path()).unwrap();
        assert!(account.can_write(closed.path()).unwrap());
    }
}
