//! A transaction that writes elsewhere and stays open throughout: it must hold nobody back.

use std::sync::Arc;
use std::time::Duration;

use es::EventSource;
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;

/// How often it writes something.
const INTERVAL: Duration = Duration::from_millis(500);

/// Holds a write transaction open until `end`.
pub(crate) async fn run<B: Backend>(backend: Arc<B>, end: CancellationToken) -> anyhow::Result<()> {
    let source = backend.source();
    let mut tx = source.begin().await?;
    while !end.is_cancelled() {
        B::insert_caller_row(&mut tx).await?;
        tokio::select! {
            () = end.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
    source.rollback(tx).await?;
    Ok(())
}
