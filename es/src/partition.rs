//! Partitions: N disjoint shares of the streams, by hash of the aggregate id.

use std::fmt;
use std::num::NonZeroU16;

use thiserror::Error;

/// How many slots there are; also the largest number of partitions.
pub const SLOT_COUNT: u16 = 16384;

/// Where an aggregate id hashes to: 0 to [`SLOT_COUNT`] − 1.
///
/// `slot = fnv1a_32(aggregate_id) % 16384`, computed here and stored with each event, so it is
/// the same on every database. The hash is FNV-1a, 32 bits, as published by Fowler, Noll and Vo
/// (<http://www.isthe.com/chongo/tech/comp/fnv/>). Vectors any implementation can check itself
/// against:
///
/// ```
/// use es::adapter::Slot;
///
/// for (aggregate_id, slot) in [
///     ("a", 10540),                                    // fnv1a_32 = 0xe40c292c
///     ("foobar", 14696),                               // fnv1a_32 = 0xbf9cf968
///     ("order-1", 3437),
///     ("order-2", 2228),
///     ("00000000-0000-0000-0000-000000000000", 3793),
///     ("src/main.rs", 124),
///     ("żółw", 8518),
/// ] {
///     assert_eq!(Slot::of(aggregate_id).get(), slot, "{aggregate_id}");
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of an aggregate id.
    pub fn of(aggregate_id: &str) -> Slot {
        let slot = fnv1a_32(aggregate_id.as_bytes()) % u32::from(SLOT_COUNT);
        Slot(u16::try_from(slot).expect("a remainder of 16384 fits 16 bits"))
    }

    /// The number, as stored.
    pub fn get(self) -> u16 {
        self.0
    }
}

const fn fnv1a_32(bytes: &[u8]) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    hash
}

/// One of N disjoint shares of the streams: those whose slot modulo N is the index.
///
/// All events of one aggregate id fall into one partition, in order. Because it is a modulus,
/// partition *i* of N is exactly partitions *i* and *i* + N of 2N.
///
/// ```
/// use es::Partition;
/// use es::adapter::Slot;
///
/// let second_of_four = Partition::new(1, 4)?;
/// assert!(second_of_four.contains(Slot::of("order-1")));
/// assert_eq!(second_of_four.to_string(), "1/4");
/// # Ok::<(), es::InvalidPartition>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    index: u16,
    total: NonZeroU16,
}

impl Partition {
    /// All streams: partition 0 of 1.
    pub const ALL: Partition = Partition { index: 0, total: NonZeroU16::MIN };

    /// Partition `index` (from 0) of `total` (1 to [`SLOT_COUNT`]).
    pub fn new(index: u16, total: u16) -> Result<Partition, InvalidPartition> {
        match NonZeroU16::new(total).filter(|_| total <= SLOT_COUNT) {
            None => Err(InvalidPartition::Total { total }),
            Some(_) if index >= total => Err(InvalidPartition::Index { index, total }),
            Some(total) => Ok(Partition { index, total }),
        }
    }

    /// All `total` partitions, by index.
    pub fn split(total: u16) -> Result<impl Iterator<Item = Partition> + Clone, InvalidPartition> {
        let Partition { total, .. } = Partition::new(0, total)?;
        Ok((0..total.get()).map(move |index| Partition { index, total }))
    }

    /// Which of the partitions, from 0.
    pub fn index(self) -> u16 {
        self.index
    }

    /// How many partitions there are.
    pub fn total(self) -> u16 {
        self.total.get()
    }

    /// Whether the streams of `slot` belong to this partition.
    pub fn contains(self, slot: Slot) -> bool {
        slot.get() % self.total == self.index
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
