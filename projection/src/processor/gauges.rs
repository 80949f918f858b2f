//! The gauges that a worker has set, so that those of what is gone do not stay as they are.

use std::collections::{BTreeMap, BTreeSet};

use es::{Partition, PartitionState, Position, ProjectionName};

use crate::observe;

/// The partitions whose lag was set, by projection.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    lags: BTreeMap<ProjectionName, BTreeSet<Partition>>,
}

impl Gauges {
    /// Sets the lag of each of a projection's partitions, and once to 0 that of those which are
    /// gone since: nobody sets it after that, and an alarm on what it was last would never end.
    pub(super) fn set_lags(
        &mut self,
        projection: &ProjectionName,
        partitions: &[PartitionState],
        end: Position,
    ) {
        let set = self.lags.entry(projection.clone()).or_default();
        let present: BTreeSet<Partition> = partitions.iter().map(|one| one.partition).collect();
        for gone in set.difference(&present) {
            observe::lag(projection, *gone, 0);
        }
        *set = present;
        for one in partitions {
            observe::lag(projection, one.partition, end.distance_from(one.position));
        }
    }
}
