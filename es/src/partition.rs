//! Partitions: N disjoint shares of the streams, by hash of the aggregate id.

use std::fmt;

use crate::partition_count::{InvalidPartition, PartitionCount};
use crate::slot::Slot;

/// One of N disjoint shares of the streams: those whose slot modulo N is the index.
///
/// All events of one aggregate id fall into one partition, in order. Because it is a modulus,
/// partition *i* of N is exactly partitions *i* and *i* + N of 2N.
///
/// ```
/// use es::{Partition, PartitionCount};
/// use es::adapter::Slot;
///
/// let second_of_four = Partition::new(1, PartitionCount::of(4))?;
/// assert!(second_of_four.contains(Slot::of("order-1")));
/// assert_eq!(second_of_four.to_string(), "1/4");
/// # Ok::<(), es::InvalidPartition>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    index: u16,
    total: PartitionCount,
}

impl Partition {
    /// All streams: partition 0 of 1.
    pub const ALL: Partition = Partition { index: 0, total: PartitionCount::ONE };

    /// Partition `index` (from 0) of `total`.
    pub const fn new(index: u16, total: PartitionCount) -> Result<Partition, InvalidPartition> {
        if index >= total.get() {
            return Err(InvalidPartition::Index { index, total: total.get() });
        }
        Ok(Partition { index, total })
    }

    /// All `total` partitions, by index.
    pub fn split(total: PartitionCount) -> impl Iterator<Item = Partition> + Clone {
        (0..total.get()).map(move |index| Partition { index, total })
    }

    /// Which of the partitions, from 0.
    pub fn index(self) -> u16 {
        self.index
    }

    /// How many partitions there are.
    pub fn total(self) -> PartitionCount {
        self.total
    }

    /// Whether the streams of `slot` belong to this partition.
    pub fn contains(self, slot: Slot) -> bool {
        slot.get() % self.total.get() == self.index
    }
}

impl Default for Partition {
    fn default() -> Self {
        Partition::ALL
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.total)
    }
}
