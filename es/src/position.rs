//! The place of an event in the global order of the log.

use std::fmt;

use thiserror::Error;

/// The place of an event in the global order of the log: 1 or more, or [`Position::START`].
///
/// Positions may have holes (most databases burn what a rolled-back transaction drew) and never
/// reorder.
/// Every store keeps them as a signed 64-bit integer, so the largest is [`i64::MAX`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(i64);

impl Position {
    /// The position before the first event: a checkpoint that has seen nothing.
    pub const START: Position = Position(0);

    /// The largest position a store can give out.
    pub const MAX: Position = Position(i64::MAX);

    /// The number, as stored; never negative.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The position `count` further on, [`Position::MAX`] at most.
    #[must_use]
    pub fn saturating_add(self, count: u64) -> Position {
        Position(self.0.saturating_add_unsigned(count))
    }

    /// The position just before this one, [`Position::START`] at least.
    #[must_use]
    pub fn previous(self) -> Position {
        Position((self.0 - 1).max(0))
    }

    /// How many positions lie after `earlier`, up to and including this one; 0 if it is not
    /// earlier.
    pub fn distance_from(self, earlier: Position) -> u64 {
        u64::try_from(self.0 - earlier.0).unwrap_or(0)
    }
}

impl From<u32> for Position {
    fn from(position: u32) -> Self {
        Position(position.into())
    }
}

/// Fails for a negative number.
impl TryFrom<i64> for Position {
    type Error = NegativeNumber;

    fn try_from(position: i64) -> Result<Self, NegativeNumber> {
        if position < 0 { Err(NegativeNumber(position)) } else { Ok(Position(position)) }
    }
}

/// A number below zero, where a position, a version or an epoch was to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} is negative: it must be 0 to {max}", max = i64::MAX)]
pub struct NegativeNumber(pub(crate) i64);

impl NegativeNumber {
    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
