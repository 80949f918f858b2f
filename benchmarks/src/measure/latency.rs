//! From a commit to the handler: ours by polling alone, the peers as they come, which is woken by
//! writers of the same process.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

use super::{Bench, Kind, announce, one_event};
use crate::contender::Seen;

const LATENCY: Kind = Kind::less("latency", "ms");

/// How long a follower may take to be there, and to see the last events.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures how long after its commit an event comes to a handler, at two rates.
pub(crate) async fn latency(bench: &mut Bench) -> anyhow::Result<()> {
    let duration = bench.quick_or(Duration::from_secs(3), Duration::from_secs(15));
    for rate in [100, 1000] {
        announce(&format!("latency: {rate} events/s"));
        for index in 0..bench.contenders.len() {
            let name = bench.contenders[index].name();
            bench.contenders[index].prepare().await?;
            let Some(mut delays) = delays(bench, index, rate, duration).await? else { continue };
            delays.sort_unstable();
            for (label, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
                let at = ((delays.len() - 1) as f64 * share).round() as usize;
                let setting = format!("{label}, {rate} events/s");
                bench.record(LATENCY, &setting, name, delays[at].as_secs_f64() * 1000.0);
            }
        }
    }
    Ok(())
}

async fn delays(
    bench: &Bench,
    index: usize,
    rate: u32,
    duration: Duration,
) -> anyhow::Result<Option<Vec<Duration>>> {
    let contender = &bench.contenders[index];
    let (sender, mut seen) = unbounded_channel::<Seen>();
    let stop = CancellationToken::new();
    let Some(mut writer) = contender.writer(0, one_event()).await? else { return Ok(None) };
    let write = async {
        // The follower is there when it has seen the first event.
        writer.append(0).await?;
        let is_there = tokio::time::timeout(PATIENCE, seen.recv()).await;
        if !matches!(is_there, Ok(Some(_))) {
            return anyhow::Ok(None);
        }
        let mut committed = HashMap::new();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
        let started = Instant::now();
        let mut number = 1;
        while started.elapsed() < duration {
            ticks.tick().await;
            writer.append(number).await?;
            committed.insert(number, Instant::now());
            number += 1;
        }
        let mut delays = Vec::with_capacity(committed.len());
        while delays.len() < committed.len() {
            let seen = tokio::time::timeout(PATIENCE, seen.recv()).await;
            let Ok(Some(seen)) = seen else {
                anyhow::bail!("{} saw {} of {number}", contender.name(), delays.len());
            };
            if let Some(at) = committed.get(&seen.number) {
                delays.push(seen.at.saturating_duration_since(*at));
            }
        }
        Ok(Some(delays))
    };
    let write = async {
        let written = write.await;
        stop.cancel();
        written
    };
    let (followed, delays) = tokio::join!(contender.follow(sender, stop.clone()), write);
    if !followed? {
        return Ok(None);
    }
    delays
}
