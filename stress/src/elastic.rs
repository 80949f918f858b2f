//! The other stress: workers that share a projection, and everything that can happen to them.
//!
//! While writers append, worker processes join, leave, are killed without a warning, and are
//! stopped for longer than their lease and let go on. The projection is given other numbers of
//! partitions, and its handler fails on some events, which are parked and tried again. When the
//! writers have ended and new workers have caught up, what was projected is compared with what was
//! committed.

mod letters;
mod outcome;
mod poison;
mod population;
mod process;
mod rescaling;
mod run;
mod seat;
mod takeovers;
mod watcher;
mod worker;

use std::fmt;
use std::time::Duration;

use es::PartitionCount;

pub(crate) use self::poison::Poison;
pub(crate) use self::run::run;
pub(crate) use self::worker::run as run_worker;

/// How long a partition stays with a worker that is not heard of.
const LEASE: Duration = Duration::from_millis(1500);

/// How often a worker looks around.
const POLL: Duration = Duration::from_millis(300);

/// What a machine that has other things to do may add to a takeover.
const SLACK: Duration = Duration::from_secs(1);

/// How many worker processes there are at most.
const SEATS: usize = 5;

/// How many partitions the projection begins with, and what it is rescaled to, evenly over the run.
const PARTITIONS: [PartitionCount; 4] =
    [PartitionCount::of(1), PartitionCount::of(4), PartitionCount::of(8), PartitionCount::of(3)];

/// How many transactions all writers together begin in a second, about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load(u32);

impl Load {
    /// Workers can keep up with it, even where they wait for the writers' locks.
    pub(crate) fn moderate(has_concurrent_writers: bool) -> Self {
        Load(if has_concurrent_writers { 80 } else { 25 })
    }

    /// How long each of so many writers rests between two transactions.
    pub(crate) fn rest(self, writers: u32) -> Duration {
        Duration::from_secs(1) * writers / self.0
    }
}

/// A duration as the report prints it.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}s", self.0.as_secs_f64())
    }
}
