//! The servers that the tests need, and the variables that lead the tests to them.

use crate::servers::{Database, Options, PgBouncer, Postgres, Source};

/// The databases that tests need a server of.
const DATABASES: &[Database] = &[Database::Postgres, Database::Mysql];

/// Tests with one of these words in their name need a server of our own.
fn own_server_tests(database: Database) -> &'static [&'static str] {
    match database {
        Database::Postgres => &["standby", "pgbouncer", "private_postgres"],
        Database::Mysql => &["private_mariadb"],
    }
}

/// Running servers; dropping them stops them, those first that depend on others.
#[derive(Debug, Default)]
pub(super) struct Servers {
    variables: Vec<(&'static str, String)>,
    skip: Vec<&'static str>,
    bouncer: Option<PgBouncer>,
    standby: Option<Postgres>,
    databases: Vec<Source>,
}

impl Servers {
    /// Starts all of them.
    pub(super) fn start(options: &Options) -> anyhow::Result<Servers> {
        let mut servers = Servers::default();
        if let Some(bin) = &options.postgres_bin {
            // For the tests of this program.
            let bin = std::path::absolute(bin)?;
            servers.variables.push(("ES_POSTGRES_BIN", bin.display().to_string()));
        }
        for &database in DATABASES {
            servers.add(database, options)?;
        }
        Ok(servers)
    }

    fn add(&mut self, database: Database, options: &Options) -> anyhow::Result<()> {
        let source = Source::open(database, options)?;
        self.variables.push((database.variable(), source.url()));
        match &source {
            Source::Postgres(server) => {
                let standby = server.start_standby()?;
                let bouncer = PgBouncer::start(server)?;
                self.variables.push(("ES_POSTGRES_STANDBY_URL", standby.url()));
                self.variables.push(("ES_PGBOUNCER_URL", bouncer.url()));
                (self.standby, self.bouncer) = (Some(standby), Some(bouncer));
            }
            Source::Given(_) => {
                let names = own_server_tests(database);
                let shown = names.join(", ");
                eprintln!("skipped, as they need a {database} of our own: tests named …{shown}…");
                self.skip.extend(names);
            }
            Source::MariaDb(_) => {}
        }
        self.databases.push(source);
        Ok(())
    }

    /// What the tests' environment must hold.
    pub(super) fn variables(&self) -> &[(&'static str, String)] {
        &self.variables
    }

    /// The names of the tests that cannot run.
    pub(super) fn skip(&self) -> &[&'static str] {
        &self.skip
    }
}
