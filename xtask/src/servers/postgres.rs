//! A private PostgreSQL, and a hot standby of it.

mod installation;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use self::installation::Installation;
use super::account::Account;
use super::directory::{Directory, tail};
use super::process::{self, Process, StopSignal};
use super::{Lifetime, Options};
use crate::interrupt;

/// The superuser of a server of ours.
pub(super) const USER: &str = "postgres";

/// The database that a server of ours has.
pub(super) const DATABASE: &str = "es";

/// What the tests need; the rest is PostgreSQL's own choice.
const SETTINGS: &str = "
unix_socket_directories = ''
timezone = 'UTC'
log_timezone = 'UTC'
max_connections = 200
max_prepared_transactions = 64
wal_level = replica
max_wal_senders = 10
";

/// For data that need not survive a power cut.
const NOT_DURABLE: &str = "
fsync = off
full_page_writes = off
";

/// A running server; dropping it stops the server and removes its data.
#[derive(Debug)]
pub(crate) struct Postgres {
    process: Process,
    port: u16,
    installation: Installation,
    account: Account,
}

impl Postgres {
    /// A new server with an empty database.
    pub(crate) fn start(options: &Options, lifetime: Lifetime) -> anyhow::Result<Postgres> {
        let installation = Installation::find(options.postgres_bin.as_deref())?;
        let account = Account::choose("postgres")?;
        let version = installation.version(&account)?;
        let server = process::on_free_port(|port| {
            let directory = Directory::create("postgres", &account)?;
            let bin = installation.bin().display();
            eprintln!("starting PostgreSQL {version} from {bin}: {}", directory.remark(port));
            initialize(&installation, &account, &directory, options)?;
            run(&installation, &account, directory, port, lifetime)
        });
        server.context("cannot start PostgreSQL")
    }

    /// A hot standby of this server, which ends with this process.
    pub(crate) fn start_standby(&self) -> anyhow::Result<Postgres> {
        let server = process::on_free_port(|port| {
            let directory = Directory::create("standby", &self.account)?;
            eprintln!("starting a hot standby: {}", directory.remark(port));
            self.back_up(&directory, &format!("standby_{port}"))?;
            run(&self.installation, &self.account, directory, port, Lifetime::ThisProcess)
        });
        server.context("cannot start a hot standby")
    }

    fn back_up(&self, directory: &Directory, slot: &str) -> anyhow::Result<()> {
        let mut command = self.installation.command("pg_basebackup", &self.account);
        command.arg("--pgdata").arg(directory.data());
        let from = format!("host=127.0.0.1 port={} user={USER} dbname={DATABASE}", self.port);
        command.args(["--dbname", &from, "--checkpoint=fast", "--wal-method=stream"]);
        // The slot keeps for the standby what it has not read yet.
        command.args(["--write-recovery-conf", "--create-slot", "--slot", slot, "--no-sync"]);
        finish(&mut command)
    }

    /// The database, as superuser.
    pub(crate) fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{DATABASE}", self.port)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    pub(super) fn into_process(self) -> Process {
        self.process
    }
}

/// Fails if the programs are not in `bin`.
pub(super) fn check(bin: &Path) -> anyhow::Result<()> {
    Installation::find(Some(bin)).map(drop)
}

fn initialize(
    installation: &Installation,
    account: &Account,
    directory: &Directory,
    options: &Options,
) -> anyhow::Result<()> {
    let data = directory.data();
    let mut initdb = installation.command("initdb", account);
    initdb.arg("--pgdata").arg(&data);
    initdb.args(["--username", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
    finish(&mut initdb)?;

    let path = data.join("postgresql.conf");
    let mut settings = fs::read_to_string(&path).context("initdb wrote no postgresql.conf")?;
    settings.push_str(&settings_of(options, installation.has_statistics(account)));
    fs::write(&path, settings).with_context(|| format!("cannot write {}", path.display()))?;
    create_database(installation, account, directory)
}

fn settings_of(options: &Options, statistics: bool) -> String {
    let mut settings = SETTINGS.to_owned();
    if !options.durable {
        settings.push_str(NOT_DURABLE);
    }
    if statistics {
        settings.push_str("\nshared_preload_libraries = 'pg_stat_statements'\n");
    }
    // Of several lines with a name the last one counts.
    for setting in &options.postgres_setting {
        settings.push_str(&line(setting));
    }
    settings
}

/// A line of postgresql.conf for `NAME=VALUE`.
fn line(setting: &str) -> String {
    let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
    format!("{} = '{}'\n", name.trim(), value.trim().replace('\'', "''"))
}

/// Fails if it is not `NAME=VALUE`.
pub(super) fn setting(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.trim().is_empty() && !text.contains('\n') => Ok(text.to_owned()),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// Creates the database before the server runs, which needs no client program.
fn create_database(
    installation: &Installation,
    account: &Account,
    directory: &Directory,
) -> anyhow::Result<()> {
    let statement = directory.path().join("create.sql");
    fs::write(&statement, format!("create database {DATABASE}\n"))
        .with_context(|| format!("cannot write {}", statement.display()))?;
    let mut postgres = installation.command("postgres", account);
    postgres.args(["--single", "-j", "-F", "-D"]).arg(directory.data()).arg("postgres");
    postgres.stdin(fs::File::open(&statement)?);
    finish(&mut postgres)
}

fn run(
    installation: &Installation,
    account: &Account,
    directory: Directory,
    port: u16,
    lifetime: Lifetime,
) -> anyhow::Result<Postgres> {
    let data = directory.data();
    let mut command = installation.command("postgres", account);
    command.arg("-D").arg(&data);
    command.args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={port}")]);
    let ready = || is_ready(&data);
    let process = Process::start(&command, directory, StopSignal::Interrupt, lifetime, ready)?;
    Ok(Postgres { process, port, installation: installation.clone(), account: account.clone() })
}

/// Whether the server takes queries, by the file `pg_ctl --wait` looks at.
fn is_ready(data: &Path) -> bool {
    let Ok(file) = fs::read_to_string(data.join("postmaster.pid")) else {
        return false;
    };
    says_ready(&file)
}

fn says_ready(postmaster_pid: &str) -> bool {
    postmaster_pid.lines().nth(7).is_some_and(|status| status.trim() == "ready")
}

/// Runs a tool to its end; what it said on failure is the error.
fn finish(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    interrupt::check()?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("its preparation failed:{}", tail(&String::from_utf8_lossy(&said)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_when_its_pid_file_says_so() {
        let file = |status| format!("1\n/data\n1700000000\n5432\n\n127.0.0.1\n  1  2\n{status}\n");
        assert!(says_ready(&file("ready   ")));
        assert!(!says_ready(&file("starting")));
        assert!(!says_ready(&file("standby ")));
        assert!(!says_ready("1\n/data\n"));
    }

    #[test]
    fn only_a_durable_server_waits_for_the_disk() {
        let durable = Options { durable: true, ..Options::default() };
        assert!(!settings_of(&durable, true).contains("fsync"));
        let settings = settings_of(&Options::default(), false);
        assert!(settings.contains("fsync = off"));
        assert!(!settings.contains("pg_stat_statements"));
    }

    #[test]
    fn a_setting_that_was_asked_for_comes_last() {
        let postgres_setting = vec!["max_connections=1200".to_owned(), "a.b = it's".to_owned()];
        let options = Options { postgres_setting, ..Options::default() };
        let settings = settings_of(&options, true);
        assert!(settings.ends_with("max_connections = '1200'\na.b = 'it''s'\n"), "{settings}");
    }

    #[test]
    fn a_setting_has_a_name_and_a_value() {
        assert!(setting("shared_buffers=1GB").is_ok());
        assert!(setting("shared_buffers").is_err());
        assert!(setting("=1GB").is_err());
    }
}
