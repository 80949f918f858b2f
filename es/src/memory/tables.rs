//! The tables of projections in memory, and what an open transaction has changed in them.

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::time::Duration;

use crate::checkpoint::{Checkpoint, Epoch, ProjectionName};
use crate::partition::Partition;
use crate::position::Position;
use crate::projection_state::{
    DeadLetter, PartitionSeed, PartitionState, ProjectionState, WorkerId,
};

/// Rows by key.
type Rows<K, V> = BTreeMap<K, V>;

/// What a transaction has written, by key; `None` for a row it removed.
type Changes<K, V> = BTreeMap<K, Option<V>>;

/// A partition of a projection, by index.
pub(super) type PartitionKey = (ProjectionName, u16);

#[derive(Debug, Default)]
pub(super) struct Tables {
    projections: Rows<ProjectionName, ProjectionState>,
    partitions: Rows<PartitionKey, PartitionRow>,
    dead_letters: Rows<(ProjectionName, Position), DeadLetter>,
    /// Until when each worker is there, by the store's clock.
    workers: Rows<(ProjectionName, WorkerId), Duration>,
}

/// What one transaction has written, visible to itself only.
#[derive(Debug, Default, Clone)]
pub(super) struct TableChanges {
    pub(super) projections: Changes<ProjectionName, ProjectionState>,
    pub(super) partitions: Changes<PartitionKey, PartitionRow>,
    pub(super) dead_letters: Changes<(ProjectionName, Position), DeadLetter>,
    pub(super) workers: Changes<(ProjectionName, WorkerId), Duration>,
}

#[derive(Debug, Clone)]
pub(super) struct PartitionRow {
    pub(super) position: Position,
    pub(super) epoch: Epoch,
    pub(super) replay_until: Position,
    pub(super) stop_at: Option<Position>,
    pub(super) owner: Option<WorkerId>,
    pub(super) lease_until: Option<Duration>,
    pub(super) attempts: u32,
    pub(super) failing_position: Option<Position>,
    pub(super) is_attempt_open: bool,
    pub(super) last_error: Option<String>,
}

impl From<PartitionSeed> for PartitionRow {
    fn from(seed: PartitionSeed) -> Self {
        PartitionRow {
            position: seed.position,
            epoch: seed.epoch,
            replay_until: seed.replay_until,
            stop_at: seed.stop_at,
            owner: None,
            lease_until: None,
            attempts: 0,
            failing_position: None,
            is_attempt_open: false,
            last_error: None,
        }
    }
}

/// The tables as one transaction sees them.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) tables: &'a Tables,
    pub(super) changes: &'a TableChanges,
    pub(super) now: Duration,
}

impl Tables {
    pub(super) fn apply(&mut self, changes: TableChanges) {
        apply(&mut self.projections, changes.projections);
        apply(&mut self.partitions, changes.partitions);
        apply(&mut self.dead_letters, changes.dead_letters);
        apply(&mut self.workers, changes.workers);
    }
}

impl View<'_> {
    pub(super) fn projections(self) -> Vec<ProjectionState> {
        let all = merged(&self.tables.projections, &self.changes.projections, ..);
        all.into_values().collect()
    }

    pub(super) fn projection(self, name: &ProjectionName) -> Option<ProjectionState> {
        look_up(&self.tables.projections, &self.changes.projections, name).cloned()
    }

    pub(super) fn row(self, key: &PartitionKey) -> Option<PartitionRow> {
        look_up(&self.tables.partitions, &self.changes.partitions, key).cloned()
    }

    pub(super) fn rows(self, name: &ProjectionName) -> Vec<(u16, PartitionRow)> {
        let range = (name.clone(), 0)..=(name.clone(), u16::MAX);
        let rows = merged(&self.tables.partitions, &self.changes.partitions, range);
        rows.into_iter().map(|((_, index), row)| (index, row)).collect()
    }

    pub(super) fn checkpoint(self, key: &PartitionKey) -> Option<Checkpoint> {
        let row = self.row(key)?;
        Some(Checkpoint {
            position: row.position,
            epoch: row.epoch,
            replay_until: row.replay_until,
            stop_at: row.stop_at,
            is_paused: self.projection(&key.0).is_some_and(|state| state.is_paused),
            attempts: row.attempts,
            failing_position: row.failing_position,
            is_attempt_open: row.is_attempt_open,
            has_dead_letters: !self.dead_letters(&key.0).is_empty(),
        })
    }

    pub(super) fn partitions(self, name: &ProjectionName) -> Vec<PartitionState> {
        let Some(ProjectionState { partition_total: total, .. }) = self.projection(name) else {
            return Vec::new();
        };
        let state = |(index, row): (u16, PartitionRow)| {
            let partition = Partition::new(index, total).ok()?;
            let lease = row.lease_until.and_then(|until| until.checked_sub(self.now));
            Some(PartitionState {
                partition,
                position: row.position,
                epoch: row.epoch,
                replay_until: row.replay_until,
                stop_at: row.stop_at,
                owner: row.owner,
                lease_left: lease.filter(|left| !left.is_zero()),
                attempts: row.attempts,
                failing_position: row.failing_position,
                last_error: row.last_error,
            })
        };
        self.rows(name).into_iter().filter_map(state).collect()
    }

    pub(super) fn dead_letters(self, name: &ProjectionName) -> Vec<DeadLetter> {
        let range = (name.clone(), Position::START)..=(name.clone(), Position::MAX);
        let all = merged(&self.tables.dead_letters, &self.changes.dead_letters, range);
        all.into_values().collect()
    }

    pub(super) fn dead_letter_counts(self, name: &ProjectionName) -> Vec<(u16, u64)> {
        let Some(state) = self.projection(name) else {
            return Vec::new();
        };
        let mut counts = BTreeMap::new();
        for letter in self.dead_letters(name) {
            let index = letter.stream.slot().get() % state.partition_total.get();
            *counts.entry(index).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    /// Until when each worker of a projection is there, gone ones included.
    pub(super) fn workers(self, name: &ProjectionName) -> Vec<(WorkerId, Duration)> {
        let all = merged(&self.tables.workers, &self.changes.workers, ..);
        let of = all.into_iter().filter(|((of, _), _)| of == name);
        of.map(|((_, worker), until)| (worker, until)).collect()
    }
}

fn apply<K: Ord, V>(rows: &mut Rows<K, V>, changes: Changes<K, V>) {
    for (key, change) in changes {
        match change {
            Some(row) => rows.insert(key, row),
            None => rows.remove(&key),
        };
    }
}

fn look_up<'a, K: Ord, V>(
    rows: &'a Rows<K, V>,
    changes: &'a Changes<K, V>,
    key: &K,
) -> Option<&'a V> {
    changes.get(key).map_or_else(|| rows.get(key), Option::as_ref)
}

fn merged<K: Ord + Clone, V: Clone>(
    rows: &Rows<K, V>,
    changes: &Changes<K, V>,
    range: impl RangeBounds<K> + Clone,
) -> Rows<K, V> {
    let copy = |(key, row): (&K, &V)| (key.clone(), row.clone());
    let mut all: Rows<K, V> = rows.range(range.clone()).map(copy).collect();
    for (key, change) in changes.range(range) {
        match change {
            Some(row) => all.insert(key.clone(), row.clone()),
            None => all.remove(key),
        };
    }
    all
}
