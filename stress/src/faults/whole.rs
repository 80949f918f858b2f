//! Whether everything is whole after the faults: pools, and nothing that is open.

use std::time::Duration;

use anyhow::{anyhow, bail};
use es::EventSource;
use tokio::time::{Instant, sleep, timeout};

use super::database::Faulty;

/// How long it may take until a pool gives all its connections, and all answer: a worker that leaves
/// looks while faults are being done.
const WHOLE_MAX: Duration = Duration::from_secs(12);

/// How long a pool may take to give a connection.
const ACQUIRE_MAX: Duration = Duration::from_secs(3);

/// How long a connection may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How long a transaction may still be open: the network may keep from its server what has become of
/// its client.
const OPEN_MAX: Duration = Duration::from_secs(20);

/// Fails unless the pool comes to give so many connections at once, all of which answer. One that
/// has died in the pool makes room for another.
pub(super) async fn check_connections<B: Faulty>(backend: &B, count: u32) -> anyhow::Result<()> {
    let deadline = Instant::now() + WHOLE_MAX;
    loop {
        match use_all(backend, count).await {
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("not all of {count} connections are usable")));
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
            Ok(()) => return Ok(()),
        }
    }
}

async fn use_all<B: Faulty>(backend: &B, count: u32) -> anyhow::Result<()> {
    let (source, mut connections) = (backend.source(), Vec::new());
    let mut acquired = Ok(());
    for number in 1..=count {
        match timeout(ACQUIRE_MAX, source.acquire()).await {
            Ok(Ok(conn)) => connections.push(conn),
            Ok(Err(error)) => acquired = Err(error.into()),
            Err(_) => acquired = Err(anyhow!("connection {number} is lost")),
        }
        if acquired.is_err() {
            break;
        }
    }
    // Those that do not answer are not given back.
    for mut conn in connections {
        match timeout(ANSWER_MAX, B::ping(&mut conn)).await {
            Ok(Ok(())) => source.release(conn),
            Ok(Err(error)) => acquired = Err(error.into()),
            Err(_) => acquired = Err(anyhow!("no answer within {ANSWER_MAX:?}")),
        }
    }
    acquired
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
