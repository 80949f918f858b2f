//! A writer: one random transaction after the other until time is up.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use es::{AppendResult, Event, EventSource, EventStore, ExpectedVersion, PersistedEvent};
use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::backend::{Backend, Beginning, Transaction};
use crate::failure::Failure;
use crate::isolation::Isolation;
use crate::ledger::Ledger;
use crate::plan::{End, Expected, Plan, Step};
use crate::store::Store;
use crate::tally::Tally;
use crate::unknown_outcome;

/// How long one transaction may take, waits for locks and connections included.
const TRANSACTION_MAX: Duration = Duration::from_secs(90);

/// How many transactions in a row may end without a commit.
const SETBACKS_MAX: u32 = 1000;

/// How often a prepared transaction is tried to be committed while the connection gets lost.
const COMMIT_ATTEMPTS_MAX: u32 = 5;

/// Writes to one store, one transaction at a time.
pub(crate) struct Writer<B> {
    pub(crate) store: Arc<Store<B>>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) rng: Rng,
    pub(crate) isolation: Isolation,
    /// How long it rests between two transactions, on average.
    pub(crate) rest: Duration,
    /// Names its prepared transactions; `None` where there are none.
    pub(crate) prepared_names: Option<PreparedNames>,
    pub(crate) deadline: Instant,
    pub(crate) halt: CancellationToken,
}

impl<B: Backend> Writer<B> {
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let mut setbacks = 0;
        while !self.is_over()? {
            let plan = Plan::draw(&mut self.rng);
            let result = timeout(TRANSACTION_MAX, self.transact(&plan)).await;
            let result =
                result.unwrap_or_else(|_| Err(anyhow!("no end within {TRANSACTION_MAX:?}").into()));
            let setback = match result {
                Ok(()) => None,
                Err(Failure::Conflict) => Some(anyhow!("a version conflict")),
                Err(Failure::Retryable(error)) => {
                    self.tally.retryables.add_one();
                    Some(error)
                }
                Err(Failure::Fatal(error)) => return Err(error.context(format!("{plan:?}"))),
            };
            match setback {
                None => setbacks = 0,
                Some(error) if setbacks >= SETBACKS_MAX => {
                    return Err(error.context("nothing can be committed any more"));
                }
                Some(_) => setbacks += 1,
            }
            if !self.rest.is_zero() {
                sleep(self.rest.mul_f64(2.0 * self.rng.f64())).await;
            }
        }
        Ok(())
    }

    fn is_over(&self) -> anyhow::Result<bool> {
        let halted = self.halt.is_cancelled() || Instant::now() >= self.deadline;
        Ok(halted || self.ledger().is_full()?)
    }

    async fn transact(&mut self, plan: &Plan) -> Result<(), Failure> {
        let store = Arc::clone(&self.store);
        let prepared_name = match (plan.end, &mut self.prepared_names) {
            (End::Prepare { .. }, Some(names)) => Some(names.next()),
            _ => None,
        };
        let beginning =
            Beginning { isolation: self.isolation, prepared_name: prepared_name.as_deref() };
        let mut tx = store.backend.begin(beginning).await?;
        match self.fill(&mut tx, plan).await {
            Ok(events) => self.end(tx, plan.end, beginning, &events).await,
            Err(failure) => {
                self.tally.rollbacks.add_one();
                store.backend.roll_back(tx, beginning).await?;
                Err(failure)
            }
        }
    }

    /// Does all but the end; gives the events that are to be committed.
    async fn fill(
        &self,
        conn: &mut B::Connection,
        plan: &Plan,
    ) -> Result<Vec<PersistedEvent>, Failure> {
        let mut events = Vec::new();
        if plan.row_first {
            B::insert_caller_row(conn).await.map_err(|error| self.statement(error))?;
        }
        for step in &plan.steps {
            sleep(step.pause).await;
            let appended = if step.undone {
                self.append_and_undo(conn, step).await
            } else {
                self.append(conn, step).await.map(|appended| events.extend(appended))
            };
            match appended {
                Err(Failure::Conflict) if !plan.conflict_ends => {}
                appended => appended?,
            }
        }
        sleep(plan.pause).await;
        Ok(events)
    }

    async fn append(
        &self,
        conn: &mut B::Connection,
        step: &Step,
    ) -> Result<Vec<PersistedEvent>, Failure> {
        let store = self.store.backend.source().store();
        let stream = step.aggregate.stream();
        let expected = match step.expected {
            Expected::Any => ExpectedVersion::Any,
            Expected::Known => ExpectedVersion::Exact(self.ledger().known_version(step.aggregate)?),
            Expected::Asked => ExpectedVersion::Exact(store.stream_version(conn, &stream).await?),
        };
        let events = step.event_types.iter().map(|event_type| Event::new(event_type, &b"{}"[..]));
        let events = events.collect::<Result<Vec<_>, _>>().map_err(anyhow::Error::from)?;
        let appended = store.append(conn, &stream, expected, &events).await;
        if appended.as_ref().is_err_and(es::AppendError::is_conflict) {
            self.tally.conflicts.add_one();
        }
        let appended = appended?;
        if appended.is_replay() {
            return Err(anyhow!("new events were taken for old ones").into());
        }
        Ok(AppendResult::into_events(appended))
    }

    async fn append_and_undo(&self, conn: &mut B::Connection, step: &Step) -> Result<(), Failure> {
        B::savepoint(conn).await.map_err(|error| self.statement(error))?;
        let appended = self.append(conn, step).await;
        if !matches!(appended, Ok(_) | Err(Failure::Conflict)) {
            return appended.map(drop);
        }
        sleep(step.pause).await;
        B::rollback_to_savepoint(conn).await.map_err(|error| self.statement(error))?;
        self.tally.savepoint_rollbacks.add_one();
        appended.map(drop)
    }

    async fn end(
        &self,
        tx: Transaction<B>,
        end: End,
        beginning: Beginning<'_>,
        events: &[PersistedEvent],
    ) -> Result<(), Failure> {
        // MariaDB forgets a prepared one that has changed nothing when its session ends.
        let nothing_to_prepare = beginning.prepared_name.is_some() && events.is_empty();
        if end == End::Rollback || nothing_to_prepare {
            self.tally.rollbacks.add_one();
            return self.store.backend.roll_back(tx, beginning).await;
        }
        let committed = match (end, beginning.prepared_name) {
            (End::Prepare { pause }, Some(name)) => self.prepare(tx, name, pause).await,
            _ => self.store.backend.commit(tx).await,
        };
        if let Err(failure) = committed {
            self.settle(failure, events).await?;
        }
        self.tally.commits.add_one();
        Ok(self.ledger().record(events)?)
    }

    async fn prepare(
        &self,
        tx: Transaction<B>,
        name: &str,
        pause: Duration,
    ) -> Result<(), Failure> {
        let backend = &self.store.backend;
        backend.prepare(tx, name).await.map_err(|error| self.statement(error))?;
        self.tally.prepared.add_one();
        sleep(pause).await;
        let mut attempts = 1;
        loop {
            match backend.commit_prepared(name).await.map_err(|error| self.statement(error)) {
                Err(Failure::Retryable(_)) if attempts < COMMIT_ATTEMPTS_MAX => attempts += 1,
                // It may have been committed by an attempt nobody answered.
                Err(Failure::Fatal(error)) if attempts > 1 => {
                    return Err(Failure::Retryable(error));
                }
                result => return result,
            }
        }
    }

    /// Finds out whether a commit that failed was one. Fails with `failure` if it was not.
    async fn settle(&self, failure: Failure, events: &[PersistedEvent]) -> Result<(), Failure> {
        let Failure::Retryable(error) = failure else {
            return Err(failure);
        };
        self.tally.looked_up.add_one();
        if unknown_outcome::is_committed(&**self.store.backend.source(), events).await? {
            return Ok(());
        }
        Err(Failure::Retryable(error))
    }

    fn ledger(&self) -> &Ledger {
        &self.store.ledger
    }

    fn statement(&self, error: sqlx::Error) -> Failure {
        Failure::of_statement(&**self.store.backend.source(), error)
    }
}

/// Names for prepared transactions, which one server must not hear twice.
#[derive(Debug)]
pub(crate) struct PreparedNames {
    prefix: String,
    count: u64,
}

impl PreparedNames {
    /// Names that begin with `prefix`.
    pub(crate) fn new(prefix: String) -> Self {
        PreparedNames { prefix, count: 0 }
    }

    fn next(&mut self) -> String {
        self.count += 1;
        format!("{}_{}", self.prefix, self.count)
    }
}
