//! The writer that commits the events which handlers cannot handle, evenly over the run.

use std::time::Duration;

use es::StreamId;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::database::Faulty;
use super::ledger::Outcome;
use super::temper::Temper;
use super::writer::{Step, Writer};
use crate::aggregate::Aggregate;

/// What the ids of those aggregates begin with that have one event, which is to be parked: nothing
/// may queue up for it.
pub(super) const PLANTED: &str = "planted-";

/// How long one transaction may take.
const TRANSACTION_MAX: Duration = Duration::from_secs(5);

/// Commits one event of each temper in a time of this length.
pub(super) async fn run<B: Faulty>(
    mut writer: Writer<B>,
    tempers: Vec<Temper>,
    length: Duration,
    halt: CancellationToken,
) -> anyhow::Result<()> {
    let (started, count) = (Instant::now(), u32::try_from(tempers.len())?);
    for (number, temper) in (1..).zip(tempers) {
        let due = sleep_until(started + length * number / count);
        if halt.run_until_cancelled(due).await.is_none() {
            return Ok(());
        }
        loop {
            let stream = match temper {
                Temper::Always(_) => {
                    let id = format!("{PLANTED}{}", Uuid::now_v7());
                    StreamId::new("Stress", "Planted", id)?
                }
                _ => Aggregate::draw(&mut writer.rng).stream(),
            };
            let step = Step { stream, tempers: vec![temper] };
            let outcome = writer.attempt(&[step], true, TRANSACTION_MAX).await;
            // Where it is not known, the account counts what is there.
            if outcome != Outcome::RolledBack || halt.is_cancelled() {
                break;
            }
            tokio::time::sleep(writer.rest).await;
        }
    }
    Ok(())
}
