//! Slots: what partitions share out.

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
