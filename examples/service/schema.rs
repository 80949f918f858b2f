//! The tables: the event store's and this service's own, made at the first start.

use anyhow::Context;
use es::{EventSource, EventStore, StoreError};
use migrate_gen::Schema;

use crate::backend::Backend;

/// Makes what is missing. Processes that start at the same time wait for each other.
///
/// `migrate-gen` writes the event store's schema as a SQL file for your own migrations. This
/// example calls it as a library, so that one command is enough to try it.
pub(crate) async fn ensure<B: Backend>(backend: &B) -> anyhow::Result<()> {
    make(backend).await.context("cannot make the tables")
}

async fn make<B: Backend>(backend: &B) -> anyhow::Result<()> {
    let source = backend.source();
    let mut tx = source.begin().await?;
    B::lock_schema(&mut tx).await?;
    // On a connection of its own: where a table is missing, PostgreSQL ends the transaction.
    match check(backend).await {
        Ok(()) => {}
        Err(StoreError::SchemaMissing { .. } | StoreError::SchemaElsewhere { .. }) => {
            B::run_sql(&mut tx, Schema::new(B::KIND).to_sql()?).await?;
        }
        Err(error) => return Err(error.into()),
    }
    B::run_sql(&mut tx, B::TABLES.to_owned()).await?;
    source.commit(tx).await?;
    Ok(())
}

async fn check<B: Backend>(backend: &B) -> Result<(), StoreError> {
    let source = backend.source();
    let mut conn = source.acquire().await?;
    source.store().check_schema(&mut conn).await?;
    source.release(conn);
    Ok(())
}
