//! The tables: the event store's from the user's own SQL files, this program's from its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use es::{EventSource, EventStore, StoreError};

use crate::backend::Backend;

/// Makes what is missing.
pub(crate) async fn ensure<B: Backend>(
    backend: &B,
    migrations: Option<&Path>,
) -> anyhow::Result<()> {
    match (check(backend).await, migrations) {
        (Ok(()), _) => {}
        (
            Err(StoreError::SchemaMissing { .. } | StoreError::SchemaElsewhere { .. }),
            Some(directory),
        ) => {
            run_files(backend, directory).await?;
        }
        (
            Err(missing @ (StoreError::SchemaMissing { .. } | StoreError::SchemaElsewhere { .. })),
            None,
        ) => {
            let advice = "give the directory of the file with --migrations to have it run";
            return Err(anyhow::Error::new(missing).context(advice));
        }
        (Err(error), _) => return Err(error.into()),
    }
    backend.create_tables().await.context("cannot make this program's tables")
}

async fn check<B: Backend>(backend: &B) -> Result<(), StoreError> {
    let source = backend.source();
    let mut conn = source.acquire().await?;
    source.store().check_schema(&mut conn).await
}

async fn run_files<B: Backend>(backend: &B, directory: &Path) -> anyhow::Result<()> {
    for path in sql_files(directory, B::NAME)? {
        let sql = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let ran = backend.run_file(sql).await;
        ran.with_context(|| format!("{} does not run{}", path.display(), remark::<B>()))?;
    }
    check(backend).await.context("the SQL files ran, but the schema is not there")
}

fn remark<B: Backend>() -> &'static str {
    if B::TAKES_BACK_TABLES {
        return "";
    }
    "; the tables it made stay: drop them, or give another database, before the file runs again"
}

fn sql_files(directory: &Path, database: &str) -> anyhow::Result<Vec<PathBuf>> {
    let shown = directory.display();
    let entries = directory.read_dir().with_context(|| format!("cannot read {shown}"))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut files = paths.collect::<Result<Vec<_>, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    if files.is_empty() {
        bail!(
            "{shown} has no .sql file: write one with \
             `migrate-gen --database {database} --output {shown}`"
        );
    }
    Ok(files)
}
