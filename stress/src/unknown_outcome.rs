//! The outcome of a commit whose answer was lost.

use std::time::Duration;

use anyhow::{Context, bail};
use es::{EventSource, EventStore, PersistedEvent, StoreError};
use tokio::time::sleep;

const ATTEMPTS_MAX: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// Whether the transaction that appended `events` was committed, by what their streams hold.
pub(crate) async fn is_committed<S: EventSource>(
    source: &S,
    events: &[PersistedEvent],
) -> anyhow::Result<bool> {
    // The server may still be about to notice that it lost its client.
    sleep(PAUSE).await;
    let mut attempts = 1;
    let found = loop {
        match found(source, events).await {
            Err(error) if error.is_retryable() && attempts < ATTEMPTS_MAX => attempts += 1,
            found => break found.context("cannot look up what a commit did")?,
        }
        sleep(PAUSE).await;
    };
    match found {
        0 => Ok(false),
        found if found == events.len() => Ok(true),
        found => bail!("{found} of the {} events of one transaction are there", events.len()),
    }
}

async fn found<S: EventSource>(source: &S, events: &[PersistedEvent]) -> Result<usize, StoreError> {
    let mut conn = source.acquire().await?;
    let mut found = 0;
    for event in events {
        let version = event.version();
        let read = source.store().read_stream(&mut conn, event.stream(), version..=version).await?;
        found += read.iter().filter(|stored| stored.id() == event.id()).count();
    }
    Ok(found)
}
