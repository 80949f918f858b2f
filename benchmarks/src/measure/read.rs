//! Reads: one stream, and the whole log from its start.

use std::time::Instant;

use super::{Bench, Kind, OWN, SMALL, announce};

const STREAM: Kind = Kind::more("read stream", "streams/s");
const LOG: Kind = Kind::more("catch-up read", "events/s");

/// How long a peer's log is at most: rates tell as much from a part, and some take very long.
const PEER_EVENTS: usize = 20_000;

/// Events in each stream of the log.
pub(crate) const STREAM_LENGTH: usize = 10;

/// Measures reads of a short, a long and a very long stream.
pub(crate) async fn streams(bench: &mut Bench) -> anyhow::Result<()> {
    for length in [10, 1000, 10_000] {
        let setting = format!("{length} events, {SMALL} B");
        announce(&format!("read stream: {setting}"));
        bench.prepare().await?;
        for contender in &bench.contenders {
            contender.fill(0..4, length, SMALL).await?;
            contender.analyze().await?;
        }
        let reads = bench.quick_or(20_000, 100_000) / (length + 90);
        for round in 0..bench.rounds {
            for index in bench.turn(round) {
                let contender = &bench.contenders[index];
                let name = contender.name();
                if contender.read_stream(0).await?.is_none() {
                    continue;
                }
                let started = Instant::now();
                for read in 0..reads {
                    let count = contender.read_stream(read % 4).await?;
                    anyhow::ensure!(count == Some(length), "{name} read {count:?} of {length}");
                }
                let rate = reads as f64 / started.elapsed().as_secs_f64();
                bench.record(STREAM, &setting, name, rate);
            }
        }
    }
    Ok(())
}

/// Measures a reader that begins at the start of a long log.
pub(crate) async fn log(bench: &mut Bench) -> anyhow::Result<()> {
    let events = bench.quick_or(100_000, 1_000_000);
    let setting = format!("{events} events, {SMALL} B");
    announce(&format!("catch-up read: {setting}"));
    let counts = fill(bench, events).await?;
    for round in 0..bench.rounds {
        for index in bench.turn(round) {
            let contender = &bench.contenders[index];
            let name = contender.name();
            let started = Instant::now();
            let Some(count) = contender.read_log().await? else { continue };
            anyhow::ensure!(count == counts[index], "{name} read {count} of {}", counts[index]);
            let rate = count as f64 / started.elapsed().as_secs_f64();
            bench.record(LOG, &setting, name, rate);
        }
    }
    Ok(())
}

/// Gives every contender a log: of `events` those that can import, the peers a part of it, whose
/// reads are measured by the event as well. Says how many each got.
pub(crate) async fn fill(bench: &Bench, events: usize) -> anyhow::Result<Vec<usize>> {
    bench.prepare().await?;
    let mut counts = Vec::new();
    for (index, contender) in bench.contenders.iter().enumerate() {
        let count = if index < OWN { events } else { events.min(PEER_EVENTS) };
        contender.fill(0..count / STREAM_LENGTH, STREAM_LENGTH, SMALL).await?;
        contender.analyze().await?;
        // Who first reads a row after its commit may have to note in the table that it was committed.
        contender.read_log().await?;
        counts.push(count);
    }
    bench.settle().await;
    Ok(counts)
}
