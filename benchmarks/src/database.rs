//! A database of its own for each contender.

use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection};

/// What the database of a contender is called.
pub(crate) fn database_name(contender: &str) -> String {
    let name: String =
        contender.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("bench_{name}")
}

/// The same server, another database.
pub(crate) fn database_url(url: &str, database: &str) -> String {
    match url.rsplit_once('/') {
        Some((server, _)) => format!("{server}/{database}"),
        None => url.to_owned(),
    }
}

/// Makes the database of a contender; gives its URL.
pub(crate) async fn pg_database(url: &str, contender: &str) -> anyhow::Result<String> {
    let name = database_name(contender);
    let mut conn = PgConnection::connect(url).await?;
    for sql in
        [format!("drop database if exists {name} with (force)"), format!("create database {name}")]
    {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await?;
    }
    Ok(database_url(url, &name))
}

pub(crate) async fn mysql_database(url: &str, contender: &str) -> anyhow::Result<String> {
    let name = database_name(contender);
    let mut conn = MySqlConnection::connect(url).await?;
    let sql = format!("drop database if exists {name}; create database {name}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await?;
    Ok(database_url(url, &name))
}
