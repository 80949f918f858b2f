//! Where PostgreSQL's programs are, and how they are called.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::servers::account::Account;
use crate::servers::directory::tail;
use crate::servers::install::{self, Package};

/// Names the directory of PostgreSQL's programs.
const BIN_VARIABLE: &str = "ES_POSTGRES_BIN";

/// The programs that must stand side by side.
const PROGRAMS: [&str; 3] = ["postgres", "initdb", "pg_basebackup"];

/// Where Debian keeps each version in a directory of its own.
const DEBIAN: &str = "/usr/lib/postgresql";

const PACKAGE: Package = Package {
    server: "PostgreSQL",
    debian: "postgresql",
    otherwise: ", or name its programs with --postgres-bin DIR, or a server with ES_POSTGRES_URL",
};

/// The programs of one version.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    bin: PathBuf,
}

impl Installation {
    /// Those in `given`, else in `ES_POSTGRES_BIN`, else on the PATH, else Debian's newest, if need
    /// be installed.
    pub(super) fn find(given: Option<&Path>) -> anyhow::Result<Installation> {
        let variable = env::var_os(BIN_VARIABLE).filter(|value| !value.is_empty());
        if let Some(given) = given.map(PathBuf::from).or_else(|| variable.map(PathBuf::from)) {
            return Installation::given(&given);
        }
        let bin = PACKAGE.find_or_install(|| on_path().or_else(|| newest(Path::new(DEBIAN))))?;
        Ok(Installation { bin })
    }

    fn given(directory: &Path) -> anyhow::Result<Installation> {
        let directory = directory
            .canonicalize()
            .with_context(|| format!("cannot enter {}", directory.display()))?;
        let places = [directory.clone(), directory.join("bin")];
        if let Some(bin) = places.iter().find_map(|place| whole(&place.join("postgres"))) {
            return Ok(Installation { bin });
        }
        let directory = directory.display();
        bail!("{directory} lacks one of {}, or it is not executable", PROGRAMS.join(", "));
    }

    pub(super) fn bin(&self) -> &Path {
        &self.bin
    }

    /// A call of `program` as `account`.
    pub(super) fn command(&self, program: &str, account: &Account) -> Command {
        let mut command = account.command(self.bin.join(program));
        // A release unpacked anywhere has its libraries there.
        if let Some(lib) = self.lib() {
            command.env("LD_LIBRARY_PATH", lib);
        }
        command
    }

    fn lib(&self) -> Option<PathBuf> {
        self.bin.parent().map(|parent| parent.join("lib")).filter(|lib| lib.is_dir())
    }

    /// The version, such as `18.1`. Fails if `account` cannot run the programs.
    pub(super) fn version(&self, account: &Account) -> anyhow::Result<String> {
        let program = self.bin.join("postgres");
        let can_execute = account.can_execute(&program)?;
        let program = program.display();
        if !can_execute {
            bail!("{program} cannot be run{}: move it where everybody may go", account.remark());
        }
        let output = self.command("postgres", account).arg("--version").output();
        let output = output.with_context(|| format!("cannot run {program}"))?;
        if !output.status.success() {
            let said = tail(&String::from_utf8_lossy(&output.stderr));
            bail!("{program} cannot be run{}:{said}", account.remark());
        }
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(version_in(&said).context("`postgres --version` names no version")?.to_owned())
    }

    /// Whether `pg_stat_statements` can be loaded.
    pub(super) fn has_statistics(&self, account: &Account) -> bool {
        let directory = self.command("pg_config", account).arg("--pkglibdir").output().ok();
        let directory = directory.filter(|output| output.status.success()).map_or_else(
            || self.lib(),
            |output| Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())),
        );
        directory.is_some_and(|directory| {
            ["so", "dylib"]
                .iter()
                .any(|suffix| directory.join("pg_stat_statements").with_extension(suffix).exists())
        })
    }
}

fn on_path() -> Option<PathBuf> {
    whole(&install::program("postgres")?)
}

/// The directory of the program `postgres`, or the one its link leads to, if all are there.
fn whole(postgres: &Path) -> Option<PathBuf> {
    let target = postgres.canonicalize().ok()?;
    let mut places = [postgres, &target].into_iter().filter_map(Path::parent);
    let bin = places.find(|place| {
        PROGRAMS
            .iter()
            .all(|program| which::which_in(place.join(program), None::<&str>, "/").is_ok())
    });
    bin.map(Path::to_owned)
}

/// The programs of the newest version in a directory with one directory per version.
fn newest(versions: &Path) -> Option<PathBuf> {
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let entries = versions.read_dir().ok()?.filter_map(Result::ok);
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.path();
            Some((number(&path)?, whole(&path.join("bin/postgres"))?))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

fn version_in(said: &str) -> Option<&str> {
    said.split_whitespace().find(|word| word.starts_with(|char: char| char.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn install(bin: &Path, mode: u32) {
        fs::create_dir_all(bin).unwrap();
        for program in PROGRAMS {
            let path = bin.join(program);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    #[test]
    fn the_newest_version_is_the_highest_number() {
        let versions = tempfile::tempdir().unwrap();
        for version in ["9", "15", "16"] {
            install(&versions.path().join(version).join("bin"), 0o755);
        }
        fs::remove_file(versions.path().join("16/bin/initdb")).unwrap();
        assert_eq!(newest(versions.path()), Some(versions.path().join("15/bin")));
        assert_eq!(newest(&versions.path().join("none")), None);
    }

    #[test]
    fn a_link_to_one_program_leads_to_all() {
        let place = tempfile::tempdir().unwrap();
        let bin = place.path().canonicalize().unwrap().join("bin");
        install(&bin, 0o755);
        symlink(bin.join("postgres"), place.path().join("postgres")).unwrap();
        assert_eq!(whole(&place.path().join("postgres")), Some(bin.clone()));
        assert_eq!(Installation::given(place.path()).unwrap().bin, bin);
    }

    #[test]
    fn programs_that_cannot_be_executed_are_an_error() {
        let place = tempfile::tempdir().unwrap();
        install(place.path(), 0o644);
        let message = Installation::given(place.path()).unwrap_err().to_string();
        assert!(message.contains("not executable"), "{message}");
    }

    #[test]
    fn the_version_is_read() {
        assert_eq!(version_in("postgres (PostgreSQL) 15.18 (Debian 15.18-0)\n"), Some("15.18"));
        assert_eq!(version_in("postgres (PostgreSQL) 18.1\n"), Some("18.1"));
        assert_eq!(version_in(""), None);
    }
}
