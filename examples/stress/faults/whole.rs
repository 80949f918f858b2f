//! Whether everything is whole after the faults: pools, and nothing that is open.

use std::time::Duration;

use anyhow::{Context, bail};
use es::EventSource;
use tokio::time::{Instant, sleep, timeout};

use super::database::Faulty;

/// How long a pool may take to give a connection.
const ACQUIRE_MAX: Duration = Duration::from_secs(10);

/// How long a connection may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How long a transaction may still be open: the network may keep from its server what has become of
/// its client.
const OPEN_MAX: Duration = Duration::from_secs(20);

/// Fails unless the pool gives so many connections at once, and all of them answer. One that has
/// died in the pool may say so first; it makes room for another.
pub(super) async fn check_connections<B: Faulty>(backend: &B, count: u32) -> anyhow::Result<()> {
    let mut failure = None;
    for _ in 0..2 {
        failure = None;
        let (source, mut connections) = (backend.source(), Vec::new());
        for number in 1..=count {
            let acquired = timeout(ACQUIRE_MAX, source.acquire()).await;
            let acquired =
                acquired.with_context(|| format!("connection {number} of {count} is lost"))?;
            match acquired {
                Ok(conn) => connections.push(conn),
                Err(error) => failure = Some(anyhow::Error::from(error)),
            }
        }
        for mut conn in connections {
            match timeout(ANSWER_MAX, B::ping(&mut conn)).await {
                Ok(Ok(())) => source.release(conn),
                Ok(Err(error)) => failure = Some(error.into()),
                Err(_) => failure = Some(anyhow::anyhow!("no answer within {ANSWER_MAX:?}")),
            }
        }
    }
    match failure {
        None => Ok(()),
        Some(error) => Err(error.context(format!("not all of {count} connections are usable"))),
    }
}

/// Fails if a transaction stays open that nobody works in any more.
pub(super) async fn check_transactions<B: Faulty>(backend: &B) -> anyhow::Result<()> {
    let deadline = Instant::now() + OPEN_MAX;
    loop {
        let open = backend.open_transactions().await;
        match open {
            Ok(0) => return Ok(()),
            Ok(open) if Instant::now() >= deadline => {
                bail!("{open} transactions are open although nobody works any more")
            }
            Err(error) if Instant::now() >= deadline => return Err(error.into()),
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
}
