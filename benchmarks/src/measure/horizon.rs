//! What it costs to ask for the horizon while many transactions have appended and are open.

use std::time::Instant;

use es::{Event, EventStore, ExpectedVersion, Position, StreamId};

use super::{Bench, Kind, announce};
use crate::backend::Backend;
use crate::figure::OURS;

const HORIZON: Kind = Kind::less("horizon", "ms");

/// Measures it with growing numbers of open appenders. The server must take as many connections.
pub(crate) async fn horizon<B: Backend>(bench: &mut Bench, url: &str) -> anyhow::Result<()> {
    let counts: &[usize] = if bench.is_quick { &[10, 100] } else { &[10, 100, 1000] };
    let source = B::open(url, 1010).await?;
    source.reset().await?;
    let mut open = Vec::new();
    for &count in counts {
        announce(&format!("horizon: {count} open appenders"));
        while open.len() < count {
            let mut tx = source.begin().await?;
            let stream = StreamId::new("Sales", "Order", format!("open-{}", open.len()))?;
            let event = Event::new("OrderPlaced", "1")?;
            source.store().append(&mut tx, &stream, ExpectedVersion::NoStream, &[event]).await?;
            open.push(tx);
        }
        let mut conn = source.acquire().await?;
        for _ in 0..bench.rounds {
            let reads = 20;
            let started = Instant::now();
            for _ in 0..reads {
                let horizon = source.store().horizon(&mut conn, Position::START).await?;
                anyhow::ensure!(horizon.position < horizon.end, "the appenders hold the horizon");
            }
            let taken = started.elapsed().as_secs_f64() * 1000.0 / f64::from(reads);
            bench.record(HORIZON, &format!("{count} open appenders"), OURS, taken);
        }
    }
    for tx in open {
        source.rollback(tx).await?;
    }
    Ok(())
}
