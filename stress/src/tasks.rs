//! Tasks of which the first to fail stops all.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Tasks that end together. Dropped, they are aborted.
#[derive(Debug)]
pub(crate) struct Tasks<T> {
    running: JoinSet<anyhow::Result<T>>,
    halt: CancellationToken,
}

impl<T: Send + 'static> Tasks<T> {
    /// None yet. A task that fails cancels `halt`, which every task watches.
    pub(crate) fn new(halt: &CancellationToken) -> Self {
        Tasks { running: JoinSet::new(), halt: halt.clone() }
    }

    pub(crate) fn spawn(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = anyhow::Result<T>> + Send + 'static,
    ) {
        let (name, halt) = (name.into(), self.halt.clone());
        self.running.spawn(async move {
            // Dropped by a failure or a panic, it cancels.
            let halt = halt.drop_guard();
            let value = task.await.context(name)?;
            halt.disarm();
            Ok(value)
        });
    }

    /// What all of them gave, or the first failure; `limit` is how long they may take.
    pub(crate) async fn join(&mut self, what: &str, limit: Duration) -> anyhow::Result<Vec<T>> {
        let all = async {
            let mut values = Vec::new();
            while let Some(ended) = self.running.join_next().await {
                values.push(ended??);
            }
            Ok(values)
        };
        let ended = tokio::time::timeout(limit, all).await;
        ended.unwrap_or_else(|_| {
            self.halt.cancel();
            Err(anyhow!("{what} did not end within {limit:?}"))
        })
    }
}
