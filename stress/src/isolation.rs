//! The isolation levels of the writers' transactions, where a run can choose them.

use std::fmt;

use clap::ValueEnum;

/// The isolation level of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    ReadCommitted,
    RepeatableRead,
}

/// The isolation levels of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Isolations {
    ReadCommitted,
    RepeatableRead,
    /// Half of the writers have one, half the other.
    Both,
}

impl Isolations {
    /// What a writer has, all of whose transactions have the same. Writers are counted from 1 and
    /// go to two stores in turn; each store gets both levels.
    pub(crate) fn of_writer(self, number: u32) -> Isolation {
        let is_repeatable = match self {
            Isolations::ReadCommitted => false,
            Isolations::RepeatableRead => true,
            Isolations::Both => number / 2 % 2 == 1,
        };
        if is_repeatable { Isolation::RepeatableRead } else { Isolation::ReadCommitted }
    }
}

/// As the command line calls it.
impl fmt::Display for Isolations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isolations::ReadCommitted => "read-committed",
            Isolations::RepeatableRead => "repeatable-read",
            Isolations::Both => "both",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_store_gets_both_levels() {
        let of = |number| Isolations::Both.of_writer(number);
        assert_ne!(of(1), of(2));
        assert_ne!(of(1), of(3));
        assert_ne!(of(2), of(4));
    }
}
