//! A writer that commits events with rows of its own, whatever happens to the database.

use std::sync::Arc;
use std::time::Duration;

use es::{AppendError, Event, EventSource, EventStore, ExpectedVersion, StreamId};
use fastrand::Rng;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::counts::Counts;
use super::database::Faulty;
use super::ledger::{Entry, Ledger, Outcome};
use super::temper::Temper;
use crate::aggregate::Aggregate;

/// How long a whole transaction may take; then its future is dropped.
const TRANSACTION_MAX: Duration = Duration::from_secs(5);

/// A future that is dropped on purpose lives for so long at most.
const SHORT: Duration = Duration::from_millis(15);

/// One writer.
pub(super) struct Writer<B> {
    pub(super) backend: Arc<B>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) counts: Arc<Counts>,
    pub(super) rng: Rng,
    /// How long it rests between two transactions, on average.
    pub(super) rest: Duration,
    pub(super) over: CancellationToken,
}

/// What is to be appended to one stream.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) stream: StreamId,
    pub(super) tempers: Vec<Temper>,
}

impl<B: Faulty> Writer<B> {
    pub(super) async fn run(mut self) {
        while !self.over.is_cancelled() {
            let steps: Vec<Step> = (0..self.rng.u8(1..=2)).map(|_| self.step()).collect();
            let commits = self.rng.u8(0..10) > 0;
            let time_max = if self.rng.u8(0..5) == 0 {
                self.counts.add("dropped futures of writers", 1);
                SHORT.mul_f64(self.rng.f64())
            } else {
                TRANSACTION_MAX
            };
            self.attempt(&steps, commits, time_max).await;
            let rest = self.rest.mul_f64(2.0 * self.rng.f64());
            let _ = self.over.run_until_cancelled(sleep(rest)).await;
        }
    }

    fn step(&mut self) -> Step {
        let stream = Aggregate::draw(&mut self.rng).stream();
        Step { stream, tempers: vec![Temper::Tame; self.rng.usize(1..=3)] }
    }

    /// Runs one transaction, and drops it after so long.
    pub(super) async fn attempt(
        &self,
        steps: &[Step],
        commits: bool,
        time_max: Duration,
    ) -> Outcome {
        let mut entry = Entry::new();
        let result = timeout(time_max, self.transact(steps, commits, &mut entry)).await;
        let outcome = entry.outcome;
        self.ledger.record(entry);
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.counts.add("writers' errors", 1);
                self.check(&error);
            }
            Err(_) => self.counts.add("writers' transactions without an end", 1),
        }
        outcome
    }

    async fn transact(
        &self,
        steps: &[Step],
        commits: bool,
        entry: &mut Entry,
    ) -> anyhow::Result<()> {
        let source = self.backend.source();
        let mut tx = source.begin_within(B::TIME_MAX).await?;
        match self.fill(&mut tx, steps, &mut entry.events).await {
            Err(error) => {
                // What it failed with says more than what the rollback fails with.
                let _ = source.rollback(tx).await;
                Err(error)
            }
            Ok(()) if !commits => Ok(source.rollback(tx).await?),
            Ok(()) => {
                entry.outcome = Outcome::Unknown;
                source.commit(tx).await?;
                entry.outcome = Outcome::Committed;
                Ok(())
            }
        }
    }

    async fn fill(
        &self,
        conn: &mut B::Connection,
        steps: &[Step],
        appended: &mut Vec<uuid::Uuid>,
    ) -> anyhow::Result<()> {
        for Step { stream, tempers } in steps {
            let events = tempers.iter().map(|temper| Event::new(temper.event_type(), &b"{}"[..]));
            let events = events.collect::<Result<Vec<_>, _>>()?;
            for event in &events {
                appended.push(event.id());
                B::insert_own_row(conn, event.id()).await?;
            }
            let store = self.backend.source().store();
            store.append(conn, stream, ExpectedVersion::Any, &events).await?;
        }
        Ok(())
    }

    /// Complains about what no fault explains.
    fn check(&self, error: &anyhow::Error) {
        let cause = self.backend.source().cause(&**error);
        let is_conflict = error.downcast_ref().is_some_and(AppendError::is_conflict);
        if cause <= Some(es::Cause::Statement) && !is_conflict {
            self.counts.complain(format!("a writer was refused without a cause: {error:#}"));
        }
    }
}
