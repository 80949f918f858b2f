//! Finding the servers' programs, and installing their Debian packages where that is possible.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use nix::unistd::geteuid;

use super::directory::tail;

/// Where Debian keeps servers; an ordinary user's PATH lacks these.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Debian asks this program whether an installed server may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Refuses every start.
const REFUSE: &str = "#!/bin/sh\nexit 101\n";

/// A server that may have to be installed.
#[derive(Debug)]
pub(super) struct Package {
    /// What the server is called.
    pub(super) server: &'static str,
    /// Debian's package of it.
    pub(super) debian: &'static str,
    /// What else the user can do.
    pub(super) otherwise: &'static str,
}

impl Package {
    /// What `find` finds, if need be after installing the package.
    pub(super) fn find_or_install<T>(&self, find: impl Fn() -> Option<T>) -> anyhow::Result<T> {
        let Package { server, debian, otherwise } = self;
        if let Some(found) = find() {
            return Ok(found);
        }
        if !geteuid().is_root() || program("apt-get").is_none() {
            bail!("{server} is not installed: install it (`apt-get install {debian}`){otherwise}");
        }
        eprintln!("{server} is not installed: installing the Debian package {debian}");
        self.install()?;
        find().with_context(|| format!("{debian} was installed, but {server} is not found"))
    }

    fn install(&self) -> anyhow::Result<()> {
        let _refusal = Refusal::write(Path::new(POLICY))?;
        apt_get(&["update"])?;
        // MySQL's packages conflict with MariaDB's, and are not ours to remove.
        let options = ["--yes", "--no-remove", "--no-install-recommends"];
        apt_get(&[&["install"], &options[..], &[self.debian]].concat())
    }
}

/// The program `name`, on the PATH or where Debian keeps servers.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let path = search_path(env::var_os("PATH").as_deref());
    which::which_in(name, Some(path), "/").ok()
}

fn search_path(path: Option<&OsStr>) -> OsString {
    let user = path.map_or_else(Vec::new, |path| env::split_paths(path).collect());
    let system = SYSTEM_DIRECTORIES.map(PathBuf::from);
    env::join_paths(user.into_iter().chain(system)).unwrap_or_default()
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("apt-get")
        .args(["-q", "-o", "DPkg::Lock::Timeout=120"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("cannot run apt-get")?;
    if !output.status.success() {
        let said = tail(&String::from_utf8_lossy(&output.stderr));
        bail!("`apt-get {}` failed:{said}", arguments.join(" "));
    }
    Ok(())
}

/// While it lives, Debian starts no server that it installs: we want its programs only.
#[derive(Debug)]
struct Refusal {
    written: Option<PathBuf>,
}

impl Refusal {
    fn write(path: &Path) -> anyhow::Result<Refusal> {
        let file = File::options().write(true).create_new(true).mode(0o755).open(path);
        match file {
            Ok(mut file) => {
                let refusal = Refusal { written: Some(path.to_owned()) };
                file.write_all(REFUSE.as_bytes()).context("cannot write Debian's start policy")?;
                Ok(refusal)
            }
            // The machine has a policy of its own, as containers do.
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(Refusal { written: None }),
            Err(err) => Err(err).with_context(|| format!("cannot write {}", path.display())),
        }
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        if let Some(path) = &self.written
            && let Err(err) = fs::remove_file(path)
        {
            eprintln!("remove {} by hand: {err}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_searched_beyond_the_path() {
        let path = search_path(Some(OsStr::new("/a:/b")));
        assert_eq!(path, "/a:/b:/usr/local/sbin:/usr/sbin:/sbin");
        assert_eq!(search_path(None), "/usr/local/sbin:/usr/sbin:/sbin");
    }

    #[test]
    fn a_policy_of_the_machine_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy");
        let ours = Refusal::write(&path).unwrap();
        drop(Refusal::write(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), REFUSE);
        drop(ours);
        assert!(!path.exists());
    }
}
