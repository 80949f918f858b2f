//! How many partitions there are.

use std::fmt;
use std::num::NonZeroU16;

use thiserror::Error;

use crate::slot::SLOT_COUNT;

/// How many partitions a projection has: 1 to [`SLOT_COUNT`].
///
/// ```
/// use es::PartitionCount;
///
/// const PARTITIONS: PartitionCount = PartitionCount::of(4);
/// assert_eq!(PartitionCount::new(4), Ok(PARTITIONS));
///
/// let error = PartitionCount::try_from(0).unwrap_err();
/// assert_eq!(error.to_string(), "0 partitions: choose 1 to 16384");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionCount(NonZeroU16);

impl PartitionCount {
    /// One partition, of all streams.
    pub const ONE: PartitionCount = PartitionCount(NonZeroU16::MIN);

    /// The largest number of partitions, [`SLOT_COUNT`].
    pub const MAX: PartitionCount = PartitionCount::of(SLOT_COUNT);

    /// Checks the number.
    pub const fn new(count: u16) -> Result<PartitionCount, InvalidPartition> {
        match NonZeroU16::new(count) {
            Some(checked) if count <= SLOT_COUNT => Ok(PartitionCount(checked)),
            _ => Err(InvalidPartition::Total { total: count }),
        }
    }

    /// A number that is known when the program is compiled.
    ///
    /// ```compile_fail
    /// const NONE: es::PartitionCount = es::PartitionCount::of(0);
    /// ```
    ///
    /// # Panics
    ///
    /// If it is not 1 to [`SLOT_COUNT`]. In a constant that is an error of the compiler.
    #[must_use]
    pub const fn of(count: u16) -> PartitionCount {
        match PartitionCount::new(count) {
            Ok(count) => count,
            Err(_) => panic!("choose 1 to 16384 partitions"),
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl Default for PartitionCount {
    fn default() -> Self {
        PartitionCount::ONE
    }
}

/// Fails for 0 and for more than [`SLOT_COUNT`].
impl TryFrom<u16> for PartitionCount {
    type Error = InvalidPartition;

    fn try_from(count: u16) -> Result<Self, InvalidPartition> {
        PartitionCount::new(count)
    }
}

impl From<PartitionCount> for u16 {
    fn from(count: PartitionCount) -> u16 {
        count.get()
    }
}

impl fmt::Display for PartitionCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A partition that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidPartition {
    /// There are no partitions, or more than there are slots.
    #[error("{total} partitions: choose 1 to {SLOT_COUNT}")]
    Total {
        /// The number of partitions asked for.
        total: u16,
    },
    /// The index is not below the number of partitions.
    #[error("partition {index} of {total}: the index runs from 0 to {}", total - 1)]
    Index {
        /// The index asked for.
        index: u16,
        /// The number of partitions.
        total: u16,
    },
}
