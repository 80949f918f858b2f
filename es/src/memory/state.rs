//! What the in-memory store holds: committed data, open transactions, and the locks between them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

use super::tables::{PartitionKey, TableChanges, Tables, View};
use crate::checkpoint::ProjectionName;
use crate::error::{StoreError, TransactionState};
use crate::event::Event;
use crate::persisted_event::PersistedEvent;
use crate::position::Position;
use crate::read::{Horizon, HorizonHolder, ReadWindow};
use crate::rejected_append::ExistingEvent;
use crate::stream_id::StreamId;
use crate::version::Version;

/// Everything that is committed, and what is going on.
#[derive(Debug, Default)]
pub(super) struct State {
    events: BTreeMap<Position, PersistedEvent>,
    streams: HashMap<StreamId, Vec<Position>>,
    event_ids: HashMap<Uuid, Position>,
    tables: Tables,
    clock: Clock,
    rows: Vec<(String, i64)>,
    last_drawn: Position,
    last_transaction: u64,
    /// For each open transaction that has appended, a position below all that it drew.
    appenders: BTreeMap<u64, Position>,
    locks: HashMap<Lock, u64>,
}

/// What the store takes for the time: how long it has been running.
#[derive(Clone)]
pub(super) struct Clock(pub(super) Arc<dyn Fn() -> Duration + Send + Sync>);

impl Default for Clock {
    fn default() -> Self {
        let start = Instant::now();
        Clock(Arc::new(move || start.elapsed()))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&(self.0)()).finish()
    }
}

/// What one open transaction has written, visible to itself only.
#[derive(Debug)]
pub(super) struct Transaction {
    id: u64,
    events: Vec<PersistedEvent>,
    pub(super) tables: TableChanges,
    pub(super) rows: Vec<(String, i64)>,
    savepoint: Option<Savepoint>,
}

#[derive(Debug)]
struct Savepoint {
    events: usize,
    tables: TableChanges,
    rows: usize,
}

/// Something at most one open transaction may write.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Lock {
    Stream(StreamId),
    EventId(Uuid),
    Projection(ProjectionName),
    Partition(PartitionKey),
}

impl State {
    pub(super) fn new(clock: Clock) -> Self {
        State { clock, ..State::default() }
    }

    pub(super) fn now(&self) -> Duration {
        (self.clock.0)()
    }

    pub(super) fn view<'a>(&'a self, transaction: &'a Transaction) -> View<'a> {
        View { tables: &self.tables, changes: &transaction.tables, now: self.now() }
    }

    pub(super) fn begin(&mut self) -> Transaction {
        self.last_transaction += 1;
        Transaction {
            id: self.last_transaction,
            events: Vec::new(),
            tables: TableChanges::default(),
            rows: Vec::new(),
            savepoint: None,
        }
    }

    pub(super) fn commit(&mut self, mut transaction: Transaction) {
        for event in transaction.events.drain(..) {
            self.streams.entry(event.stream().clone()).or_default().push(event.position());
            self.event_ids.insert(event.id(), event.position());
            self.events.insert(event.position(), event);
        }
        self.tables.apply(std::mem::take(&mut transaction.tables));
        self.rows.append(&mut transaction.rows);
        self.end(&transaction);
    }

    pub(super) fn delete_stream(&mut self, stream: &StreamId) {
        for position in self.streams.remove(stream).unwrap_or_default() {
            if let Some(event) = self.events.remove(&position) {
                self.event_ids.remove(&event.id());
            }
        }
    }

    /// Forgets that the transaction was open.
    pub(super) fn end(&mut self, transaction: &Transaction) {
        self.appenders.remove(&transaction.id);
        self.locks.retain(|_, holder| *holder != transaction.id);
    }

    /// Takes all `locks` until the end of the transaction, or none if another one holds any.
    pub(super) fn acquire(
        &mut self,
        transaction: &Transaction,
        locks: impl IntoIterator<Item = Lock>,
    ) -> Result<(), StoreError> {
        let locks: Vec<Lock> = locks.into_iter().collect();
        if !locks.iter().all(|lock| self.is_free(transaction, lock)) {
            return Err(StoreError::Retryable {
                transaction: TransactionState::Usable,
                source: "another open transaction holds the lock".into(),
            });
        }
        self.locks.extend(locks.into_iter().map(|lock| (lock, transaction.id)));
        Ok(())
    }

    /// Whether no other open transaction holds the lock.
    pub(super) fn is_free(&self, transaction: &Transaction, lock: &Lock) -> bool {
        self.locks.get(lock).is_none_or(|holder| *holder == transaction.id)
    }

    pub(super) fn draw_positions(
        &mut self,
        transaction: &Transaction,
        count: usize,
    ) -> Vec<Position> {
        self.appenders.entry(transaction.id).or_insert(self.last_drawn);
        let draw = |_| {
            self.last_drawn = self.last_drawn.saturating_add(1);
            self.last_drawn
        };
        (0..count).map(draw).collect()
    }

    pub(super) fn horizon(&self) -> Horizon {
        let held_by = |(id, _): (&u64, &Position)| HorizonHolder {
            session: format!("transaction {id}"),
            application: None,
            open_for: None,
        };
        Horizon {
            position: self.appenders.values().copied().min().unwrap_or(self.last_drawn),
            end: self.last_drawn,
            held_by: self.appenders.iter().map(held_by).collect(),
        }
    }

    pub(super) fn stream_events<'a>(
        &'a self,
        transaction: &'a Transaction,
        stream: &'a StreamId,
    ) -> impl Iterator<Item = &'a PersistedEvent> {
        let committed = self.streams.get(stream).into_iter().flatten();
        let own = transaction.events.iter().filter(move |event| event.stream() == stream);
        committed.filter_map(|position| self.events.get(position)).chain(own)
    }

    pub(super) fn stream_version(&self, transaction: &Transaction, stream: &StreamId) -> Version {
        let last = self.stream_events(transaction, stream).last();
        last.map_or(Version::NONE, PersistedEvent::version)
    }

    pub(super) fn existing_events(
        &self,
        transaction: &Transaction,
        events: &[Event],
    ) -> Vec<ExistingEvent> {
        let find = |id: Uuid| {
            let committed = self.event_ids.get(&id).and_then(|position| self.events.get(position));
            committed.or_else(|| transaction.events.iter().find(|own| own.id() == id))
        };
        let existing = events.iter().filter_map(|event| find(event.id()));
        existing
            .map(|found| ExistingEvent {
                event_id: found.id(),
                stream: found.stream().clone(),
                version: found.version(),
                position: found.position(),
            })
            .collect()
    }

    /// Every event of the window, the transaction's own included, in position order.
    pub(super) fn window(
        &self,
        transaction: &Transaction,
        window: ReadWindow,
    ) -> Vec<PersistedEvent> {
        let first = window.after().saturating_add(1);
        let committed = self.events.range(first..=window.through()).map(|(_, event)| event);
        let own = transaction.events.iter();
        let own = own.filter(|event| (first..=window.through()).contains(&event.position()));
        let mut events: Vec<PersistedEvent> = committed.chain(own).cloned().collect();
        events.sort_by_key(PersistedEvent::position);
        events
    }

    pub(super) fn first_position_since(
        &self,
        transaction: &Transaction,
        time: DateTime<Utc>,
    ) -> Option<Position> {
        let all = self.events.values().chain(&transaction.events);
        all.filter(|event| event.recorded_at().is_some_and(|at| at >= time))
            .map(PersistedEvent::position)
            .min()
    }

    pub(super) fn rows(&self, transaction: &Transaction, table: &str) -> Vec<i64> {
        let rows = self.rows.iter().chain(&transaction.rows);
        rows.filter(|(of, _)| of == table).map(|(_, value)| *value).collect()
    }
}

impl Transaction {
    pub(super) fn write(&mut self, events: &[PersistedEvent]) {
        let now = Utc::now().trunc_subsecs(6);
        self.events.extend(events.iter().map(|event| event.clone().with_recorded_at(now)));
    }

    pub(super) fn set_savepoint(&mut self) {
        self.savepoint = Some(Savepoint {
            events: self.events.len(),
            tables: self.tables.clone(),
            rows: self.rows.len(),
        });
    }

    /// Whether there was a savepoint to return to; it stays set.
    pub(super) fn return_to_savepoint(&mut self) -> bool {
        let Some(savepoint) = &self.savepoint else {
            return false;
        };
        self.events.truncate(savepoint.events);
        self.tables.clone_from(&savepoint.tables);
        self.rows.truncate(savepoint.rows);
        true
    }
}
