//! The other libraries, each used as its own documentation says.

mod cqrs;
mod evento;
mod mire;

use self::cqrs::PostgresEs;
use self::evento::Evento;
use self::mire::Mire;
use crate::contender::Contender;
use crate::database::pg_database;

const MIRE: &str = "mire";
const EVENTO: &str = "evento";
const POSTGRES_ES: &str = "postgres-es";

/// Drops whatever is there and makes the caller's tables. None of the libraries has tables in a
/// schema other than `public`.
const RESET: &str = "
    drop schema public cascade;
    create schema public;
    create table orders (id text primary key, note text);
    create table totals (aggregate_id text primary key, count bigint not null);
";

/// How many events `fill` gives to one append at most.
const FILL_EVENTS: usize = 1000;

/// All of them, each in a database of its own on the server at `url`.
pub(crate) async fn contenders(
    url: &str,
    connections: u32,
) -> anyhow::Result<Vec<Box<dyn Contender>>> {
    Ok(vec![
        Box::new(Mire::connect(&pg_database(url, MIRE).await?, connections).await?),
        Box::new(Evento::connect(&pg_database(url, EVENTO).await?, connections).await?),
        Box::new(PostgresEs::connect(&pg_database(url, POSTGRES_ES).await?, connections).await?),
    ])
}

/// Their names and the versions that `Cargo.toml` asks for.
pub(crate) fn versions() -> impl Iterator<Item = (String, String)> {
    [(MIRE, "0.4.0"), (EVENTO, "2.0.0-alpha.38"), (POSTGRES_ES, "0.5.0")]
        .into_iter()
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
}

/// The numbers of a stream that `fill` stores, cut into appends.
fn fill_appends(index: usize, length: usize) -> impl Iterator<Item = std::ops::Range<u64>> {
    let first = index * length;
    (first..first + length)
        .step_by(FILL_EVENTS)
        .map(move |begin| begin as u64..(begin + FILL_EVENTS).min(first + length) as u64)
}
