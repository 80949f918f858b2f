//! A private PgBouncer in transaction mode, in front of a private PostgreSQL.

use std::fs;

use anyhow::Context;

use super::Lifetime;
use super::account::Account;
use super::directory::Directory;
use super::install::{self, Package};
use super::postgres::{self, Postgres};
use super::process::{self, Process, StopSignal};

const PACKAGE: Package = Package { server: "PgBouncer", debian: "pgbouncer", otherwise: "" };

/// A running PgBouncer; dropping it stops it.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    _process: Process,
    port: u16,
}

impl PgBouncer {
    /// A pooler in front of `server`, which ends with this process.
    pub(crate) fn start(server: &Postgres) -> anyhow::Result<PgBouncer> {
        let program = PACKAGE.find_or_install(|| install::program("pgbouncer"))?;
        let account = Account::choose("postgres")?;
        let bouncer = process::on_free_port(|port| {
            let directory = Directory::create("pgbouncer", &account)?;
            eprintln!("starting {}: {}", program.display(), directory.remark(port));
            let settings = directory.path().join("pgbouncer.ini");
            fs::write(&settings, settings_of(port, server.port()))
                .with_context(|| format!("cannot write {}", settings.display()))?;
            let mut command = account.command(&program);
            command.arg(&settings);
            let ready = || process::answers(port);
            let lifetime = Lifetime::ThisProcess;
            let process = Process::start(&command, directory, StopSignal::Kill, lifetime, ready)?;
            Ok(PgBouncer { _process: process, port })
        });
        bouncer.context("cannot start PgBouncer")
    }

    /// The server's database, through the pooler.
    pub(crate) fn url(&self) -> String {
        format!("postgres://{}@127.0.0.1:{}/{}", postgres::USER, self.port, postgres::DATABASE)
    }
}

fn settings_of(port: u16, server_port: u16) -> String {
    let (user, database) = (postgres::USER, postgres::DATABASE);
    // sqlx sets extra_float_digits on every connection, and PgBouncer refuses what it cannot track.
    format!(
        "\
[databases]
{database} = host=127.0.0.1 port={server_port} dbname={database} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 200
default_pool_size = 20
ignore_startup_parameters = extra_float_digits
"
    )
}
