//! A private `MariaDB`.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use super::account::Account;
use super::directory::{Directory, tail};
use super::install::{self, Package};
use super::process::{self, Process, StopSignal};
use super::{Lifetime, Options};
use crate::interrupt;

/// The superuser of a server of ours.
const USER: &str = "root";

/// The database that a server of ours has.
const DATABASE: &str = "es";

/// What every server of ours is told. `--no-defaults` keeps the machine's own settings out; a
/// packet may be as large as `MySQL` 8 allows by default, for `MariaDB`'s 16 MiB are too small for
/// the largest payload.
const OPTIONS: [&str; 6] = [
    "--no-defaults",
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--max-connections=200",
    "--character-set-server=utf8mb4",
    "--max-allowed-packet=64M",
];

/// For data that need not survive a power cut.
const NOT_DURABLE: [&str; 2] = ["--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite"];

/// For data that must.
const DURABLE: [&str; 1] = ["--innodb-flush-log-at-trx-commit=1"];

/// The first byte of a greeting, which is the protocol's version.
const GREETING: u8 = 10;

const PACKAGE: Package = Package {
    server: "MariaDB",
    debian: "mariadb-server",
    otherwise: ", or name a server with ES_MYSQL_URL",
};

/// A running server; dropping it stops the server and removes its data.
#[derive(Debug)]
pub(crate) struct MariaDb {
    process: Process,
    port: u16,
}

impl MariaDb {
    /// A new server with an empty database.
    pub(crate) fn start(options: &Options, lifetime: Lifetime) -> anyhow::Result<MariaDb> {
        let programs = PACKAGE.find_or_install(Programs::find)?;
        let account = Account::choose("mysql")?;
        let version = programs.version(&account)?;
        let server = process::on_free_port(|port| {
            let directory = Directory::create("mariadb", &account)?;
            let program = programs.server.display();
            eprintln!("starting MariaDB {version}, {program}: {}", directory.remark(port));
            programs.initialize(&account, &directory)?;
            programs.run(&account, directory, port, options, lifetime)
        });
        server.context("cannot start MariaDB")
    }

    /// The database, as superuser.
    pub(crate) fn url(&self) -> String {
        format!("mysql://{USER}@127.0.0.1:{}/{DATABASE}", self.port)
    }

    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    pub(super) fn into_process(self) -> Process {
        self.process
    }
}

/// What a server needs.
#[derive(Debug)]
struct Programs {
    server: PathBuf,
    install: PathBuf,
}

impl Programs {
    fn find() -> Option<Programs> {
        let server = ["mariadbd", "mysqld"].into_iter().find_map(install::program)?;
        let install =
            ["mariadb-install-db", "mysql_install_db"].into_iter().find_map(install::program)?;
        Some(Programs { server, install })
    }

    /// The version, such as `10.11.6-MariaDB-0+deb12u1`.
    fn version(&self, account: &Account) -> anyhow::Result<String> {
        let program = self.server.display();
        let output = account.command(&self.server).args(["--no-defaults", "--version"]).output();
        let output = output.with_context(|| format!("cannot run {program}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let Some(version) = version_in(&said) else {
            let said = tail(&String::from_utf8_lossy(&output.stderr));
            bail!("{program} cannot be run{}:{said}", account.remark());
        };
        Ok(version.to_owned())
    }

    fn initialize(&self, account: &Account, directory: &Directory) -> anyhow::Result<()> {
        let mut command = account.command(&self.install);
        command.args(["--no-defaults", "--skip-name-resolve", "--skip-test-db"]);
        command.arg("--auth-root-authentication-method=normal");
        command.args(NOT_DURABLE).args(places(directory));
        let output = command.output();
        let output = output.with_context(|| format!("cannot run {}", self.install.display()))?;
        interrupt::check()?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("its preparation failed:{}", tail(&String::from_utf8_lossy(&said)));
        }
        let statement = format!("create database if not exists {DATABASE};\n");
        let path = init_file(directory.path());
        fs::write(&path, statement).with_context(|| format!("cannot write {}", path.display()))
    }

    fn run(
        &self,
        account: &Account,
        directory: Directory,
        port: u16,
        options: &Options,
        lifetime: Lifetime,
    ) -> anyhow::Result<MariaDb> {
        let mut command = account.command(&self.server);
        command.args(OPTIONS).arg(format!("--port={port}"));
        command.args(if options.durable { &DURABLE[..] } else { &NOT_DURABLE[..] });
        command.args(places(&directory));
        command.arg(option("--init-file", &init_file(directory.path())));
        // Relative to the data, because a socket's path is short.
        command.args(["--socket=server.sock", "--pid-file=server.pid"]);
        command.args(options.mariadb_setting.iter().map(|setting| format!("--{setting}")));
        // Written once the port is the server's own.
        let pid = directory.data().join("server.pid");
        let ready = || pid.exists() && greets(port);
        let process = Process::start(&command, directory, StopSignal::Terminate, lifetime, ready)?;
        Ok(MariaDb { process, port })
    }
}

fn init_file(directory: &Path) -> PathBuf {
    directory.join("init.sql")
}

/// Where the server keeps its data, and its temporary tables: one that starts removes those of
/// every other server from the directory it is given, which otherwise is the machine's.
fn places(directory: &Directory) -> [OsString; 2] {
    [option("--datadir", &directory.data()), option("--tmpdir", directory.path())]
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push("=");
    option.push(path);
    option
}

/// Whether a server greets us on `port`; it listens before it can.
fn greets(port: u16) -> bool {
    let greeting = || {
        let mut stream = process::connect(port)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        // Three bytes of length, one of the packet's number, then the greeting.
        let mut packet = [0; 5];
        stream.read_exact(&mut packet)?;
        Ok::<_, std::io::Error>(packet[4])
    };
    greeting().is_ok_and(|version| version == GREETING)
}

fn version_in(said: &str) -> Option<&str> {
    let (_, version) = said.split_once("Ver ")?;
    version.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read() {
        let said = "mariadbd  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64";
        assert_eq!(version_in(said), Some("10.11.6-MariaDB-0+deb12u1"));
        assert_eq!(version_in(""), None);
    }
}
