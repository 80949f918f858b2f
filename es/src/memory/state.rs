//! What the in-memory store holds: committed data, open transactions, and the locks between them.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::{
    Event, ExistingEvent, Horizon, HorizonHolder, Partition, PartitionCheckpoint, PersistedEvent,
    Position, ProjectionName, ReadWindow, StoreError, StreamId, TransactionState, Version,
};

/// Everything that is committed, and what is going on.
#[derive(Debug, Default)]
pub(super) struct State {
    events: BTreeMap<Position, PersistedEvent>,
    streams: HashMap<StreamId, Vec<Position>>,
    event_ids: HashMap<Uuid, Position>,
    projections: BTreeMap<ProjectionName, u16>,
    checkpoints: BTreeMap<CheckpointKey, Position>,
    rows: Vec<(String, i64)>,
    last_drawn: Position,
    last_transaction: u64,
    /// For each open transaction that has appended, a position below all that it drew.
    appenders: BTreeMap<u64, Position>,
    locks: HashMap<Lock, u64>,
}

/// What one open transaction has written, visible to itself only.
#[derive(Debug)]
pub(super) struct Transaction {
    id: u64,
    events: Vec<PersistedEvent>,
    pub(super) projections: BTreeMap<ProjectionName, u16>,
    pub(super) checkpoints: BTreeMap<CheckpointKey, Position>,
    pub(super) rows: Vec<(String, i64)>,
    savepoint: Option<Savepoint>,
}

#[derive(Debug)]
struct Savepoint {
    events: usize,
    projections: BTreeMap<ProjectionName, u16>,
    checkpoints: BTreeMap<CheckpointKey, Position>,
    rows: usize,
}

/// Something at most one open transaction may write.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Lock {
    Stream(StreamId),
    EventId(Uuid),
    Projection(ProjectionName),
    Checkpoint(CheckpointKey),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CheckpointKey {
    projection: ProjectionName,
    partition_index: u16,
}

impl CheckpointKey {
    pub(super) fn new(projection: &ProjectionName, partition: Partition) -> Self {
        CheckpointKey { projection: projection.clone(), partition_index: partition.index() }
    }
}

impl State {
    pub(super) fn begin(&mut self) -> Transaction {
        self.last_transaction += 1;
        Transaction {
            id: self.last_transaction,
            events: Vec::new(),
            projections: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
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
        self.projections.append(&mut transaction.projections);
        self.checkpoints.append(&mut transaction.checkpoints);
        self.rows.append(&mut transaction.rows);
        self.end(&transaction);
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
        let is_free = |lock| self.locks.get(lock).is_none_or(|holder| *holder == transaction.id);
        if !locks.iter().all(is_free) {
            return Err(StoreError::Retryable {
                transaction: TransactionState::Usable,
                source: "another open transaction holds the lock".into(),
            });
        }
        self.locks.extend(locks.into_iter().map(|lock| (lock, transaction.id)));
        Ok(())
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

    pub(super) fn partition_total(
        &self,
        transaction: &Transaction,
        projection: &ProjectionName,
    ) -> Option<u16> {
        let own = transaction.projections.get(projection);
        own.or_else(|| self.projections.get(projection)).copied()
    }

    pub(super) fn checkpoint(
        &self,
        transaction: &Transaction,
        key: &CheckpointKey,
    ) -> Option<Position> {
        let own = transaction.checkpoints.get(key);
        own.or_else(|| self.checkpoints.get(key)).copied()
    }

    pub(super) fn checkpoints(
        &self,
        transaction: &Transaction,
        projection: &ProjectionName,
    ) -> Result<Vec<PartitionCheckpoint>, StoreError> {
        let Some(total) = self.partition_total(transaction, projection) else {
            return Ok(Vec::new());
        };
        let mut all = self.checkpoints.clone();
        all.extend(transaction.checkpoints.clone());
        all.retain(|key, _| key.projection == *projection);
        all.into_iter()
            .map(|(key, position)| {
                let partition = Partition::new(key.partition_index, total)
                    .map_err(|error| StoreError::corrupt(error.to_string()))?;
                Ok(PartitionCheckpoint { partition, position })
            })
            .collect()
    }

    pub(super) fn rows(&self, transaction: &Transaction, table: &str) -> Vec<i64> {
        let rows = self.rows.iter().chain(&transaction.rows);
        rows.filter(|(of, _)| of == table).map(|(_, value)| *value).collect()
    }
}

impl Transaction {
    pub(super) fn write(&mut self, events: &[PersistedEvent]) {
        self.events.extend_from_slice(events);
    }

    pub(super) fn set_savepoint(&mut self) {
        self.savepoint = Some(Savepoint {
            events: self.events.len(),
            projections: self.projections.clone(),
            checkpoints: self.checkpoints.clone(),
            rows: self.rows.len(),
        });
    }

    /// Whether there was a savepoint to return to; it stays set.
    pub(super) fn return_to_savepoint(&mut self) -> bool {
        let Some(savepoint) = &self.savepoint else {
            return false;
        };
        self.events.truncate(savepoint.events);
        self.projections.clone_from(&savepoint.projections);
        self.checkpoints.clone_from(&savepoint.checkpoints);
        self.rows.truncate(savepoint.rows);
        true
    }
}
