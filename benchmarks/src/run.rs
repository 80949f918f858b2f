//! One run: the databases, the contenders, the measures, the result.

use std::process::ExitCode;

use anyhow::{Context, bail};
use es_mysql::MySqlSource;
use es_postgres::PgSource;
use es_sqlite::SqliteSource;

use crate::backend::Backend;
use crate::contender::Contender;
use crate::database::{database_name, database_url, mysql_database, pg_database};
use crate::figure::{Environment, Figure, LIMIT, OURS, Report};
use crate::limit::plain::PlainLimit;
use crate::limit::postgres::PgLimit;
use crate::measure::{
    Bench, append, growth, horizon, idle, latency, lost, memory, partitions, project, read, steps,
};
use crate::ours::Ours;
use crate::{Arguments, Scope, environment, report};

/// Connections in a contender's pool: as many as there are writers at most, and a few.
const CONNECTIONS: u32 = 40;

/// How often a figure is taken: enough for a median.
const ROUNDS: usize = 5;
const ROUNDS_QUICK: usize = 3;

/// Measures, prints, writes, and says whether a floor was missed.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.scope == Scope::Docs {
        report::write_docs(&arguments.directory)?;
        return Ok(ExitCode::SUCCESS);
    }
    let url = arguments.database_url.as_str();
    let (scheme, _) = url.split_once(':').context("name a database with --database-url")?;
    if arguments.scope == Scope::ProjectAlone {
        match scheme {
            "postgres" => memory::project_alone::<PgSource>(url, arguments.events).await?,
            "mysql" => memory::project_alone::<MySqlSource>(url, arguments.events).await?,
            _ => memory::project_alone::<SqliteSource>(url, arguments.events).await?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.peers && scheme != "postgres" {
        bail!("--peers is for PostgreSQL, the one database that all of them have");
    }
    let mut environment = environment::environment(arguments.quick, command(arguments, scheme));
    environment.libraries.push((OURS.to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
    let (figures, measured) = match scheme {
        "postgres" => postgres(arguments, url, &mut environment).await?,
        "mysql" => mysql(arguments, url, &mut environment).await?,
        "sqlite" => sqlite(arguments, url, &mut environment).await?,
        other => bail!("no benchmark for {other}: give a URL of postgres, mysql or sqlite"),
    };
    let report = Report { database: scheme.to_owned(), environment, figures };
    let code = report::finish(&report, &arguments.directory, arguments.check)?;
    // What was measured before something went wrong is kept.
    measured?;
    Ok(code)
}

/// What was measured, and whether that is all.
type Measured = (Vec<Figure>, anyhow::Result<()>);

fn command(arguments: &Arguments, scheme: &str) -> String {
    let flag = |is_set: bool, flag: &str| if is_set { format!(" {flag}") } else { String::new() };
    let rounds = arguments.rounds.map_or_else(String::new, |rounds| format!(" --rounds {rounds}"));
    format!(
        "cargo xtask bench all --database {scheme}{}{}{rounds}",
        flag(arguments.peers, "--peers"),
        flag(arguments.quick, "--quick")
    )
}

fn new_bench(arguments: &Arguments, contenders: Vec<Box<dyn Contender>>) -> Bench {
    let rounds = if arguments.quick { ROUNDS_QUICK } else { ROUNDS };
    let rounds = arguments.rounds.unwrap_or(rounds).max(1);
    Bench { contenders, is_quick: arguments.quick, rounds, figures: Vec::new() }
}

async fn postgres(
    arguments: &Arguments,
    url: &str,
    environment: &mut Environment,
) -> anyhow::Result<Measured> {
    environment::postgres(url, environment).await?;
    let ours_url = pg_database(url, OURS).await?;
    let limit_url = pg_database(url, LIMIT).await?;
    let ours = Ours::<PgSource>::open(&ours_url, CONNECTIONS).await?;
    let limit = PgLimit::open(&limit_url, CONNECTIONS).await?;
    #[cfg_attr(not(feature = "peers"), expect(unused_mut, reason = "only peers are added"))]
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(ours.clone()), Box::new(limit)];
    #[cfg(feature = "peers")]
    if arguments.peers {
        contenders.extend(crate::peers::contenders(url, CONNECTIONS).await?);
        environment.libraries.extend(crate::peers::versions());
    }
    #[cfg(not(feature = "peers"))]
    if arguments.peers {
        bail!("built without the peers: build with --features peers");
    }
    let mut bench = new_bench(arguments, contenders);
    let measured = async {
        shared(&mut bench, arguments.scope, &ours, &ours_url).await?;
        let has = |scope| arguments.scope == scope || arguments.scope == Scope::All;
        if has(Scope::Append) {
            steps::steps(&mut bench, &ours).await?;
        }
        if has(Scope::Latency) {
            idle::idle(&mut bench, &ours).await?;
            lost::lost(&mut bench, |name| database_url(url, &database_name(name))).await?;
        }
        if has(Scope::Partitions) {
            partitions::partitions(&mut bench, &ours_url).await?;
        }
        if has(Scope::Read) {
            horizon::horizon::<PgSource>(&mut bench, &ours_url).await?;
        }
        growth(&mut bench, arguments.scope, &ours).await
    };
    let measured = measured.await;
    Ok((bench.figures, measured))
}

async fn mysql(
    arguments: &Arguments,
    url: &str,
    environment: &mut Environment,
) -> anyhow::Result<Measured> {
    environment::mysql(url, environment).await?;
    let ours_url = mysql_database(url, OURS).await?;
    let limit_url = mysql_database(url, LIMIT).await?;
    let ours = Ours::<MySqlSource>::open(&ours_url, CONNECTIONS).await?;
    let limit = PlainLimit::<MySqlSource>::open(&limit_url, CONNECTIONS).await?;
    let mut bench = new_bench(arguments, vec![Box::new(ours.clone()), Box::new(limit)]);
    let measured = async {
        shared(&mut bench, arguments.scope, &ours, &ours_url).await?;
        if matches!(arguments.scope, Scope::Read | Scope::All) {
            horizon::horizon::<MySqlSource>(&mut bench, &ours_url).await?;
        }
        growth(&mut bench, arguments.scope, &ours).await
    };
    let measured = measured.await;
    Ok((bench.figures, measured))
}

async fn sqlite(
    arguments: &Arguments,
    url: &str,
    environment: &mut Environment,
) -> anyhow::Result<Measured> {
    "SQLite, in process".clone_into(&mut environment.server);
    let settings = [("journal_mode", "wal"), ("synchronous", "full")];
    environment.settings.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let [ours_url, limit_url] = [OURS, LIMIT].map(|name| format!("{url}-{}", database_name(name)));
    let ours = Ours::<SqliteSource>::open(&ours_url, CONNECTIONS).await?;
    let limit = PlainLimit::<SqliteSource>::open(&limit_url, CONNECTIONS).await?;
    let mut bench = new_bench(arguments, vec![Box::new(ours.clone()), Box::new(limit)]);
    let measured = async {
        shared(&mut bench, arguments.scope, &ours, &ours_url).await?;
        growth(&mut bench, arguments.scope, &ours).await
    };
    let measured = measured.await;
    Ok((bench.figures, measured))
}

/// What every database can be measured by.
async fn shared<B: Backend>(
    bench: &mut Bench,
    scope: Scope,
    ours: &Ours<B>,
    ours_url: &str,
) -> anyhow::Result<()> {
    let has = |part| scope == part || scope == Scope::All;
    if has(Scope::Append) {
        append::append(bench).await?;
        append::import(bench).await?;
    }
    if has(Scope::Read) {
        read::streams(bench).await?;
        read::log(bench).await?;
    }
    if has(Scope::Project) {
        project::project(bench, ours).await?;
        memory::memory(bench, ours, ours_url).await?;
    }
    if has(Scope::Latency) {
        latency::latency(bench).await?;
    }
    Ok(())
}

/// Last, for what it leaves in the files of the server weighs on whatever comes after it.
async fn growth<B: Backend>(bench: &mut Bench, scope: Scope, ours: &Ours<B>) -> anyhow::Result<()> {
    if matches!(scope, Scope::Growth | Scope::All) {
        growth::growth(bench, ours).await?;
        ours.prepare().await?;
    }
    Ok(())
}
