//! How long a statement of a transaction may run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// After how many of its instructions SQLite asks again whether to go on: a millisecond or less.
pub(crate) const INSTRUCTIONS: i32 = 10_000;

const NEVER: u64 = u64::MAX;
const NOW: u64 = 0;

/// When SQLite is to interrupt what runs on a connection. SQLite asks from a thread of its own, in
/// the middle of a statement.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    time_max: Duration,
    /// In microseconds after `began`.
    deadline: AtomicU64,
}

impl Clock {
    /// A clock that interrupts what takes longer than `time_max`.
    pub(crate) fn new(time_max: Duration) -> Self {
        let clock = Clock { began: Instant::now(), time_max, deadline: AtomicU64::new(NEVER) };
        clock.restart();
        clock
    }

    /// Begins to count.
    pub(crate) fn restart(&self) {
        let deadline = micros(self.began.elapsed().saturating_add(self.time_max));
        self.deadline.store(deadline.clamp(NOW + 1, NEVER), Ordering::Relaxed);
    }

    /// Interrupts what runs now.
    pub(crate) fn interrupt(&self) {
        self.deadline.store(NOW, Ordering::Relaxed);
    }

    /// Interrupts nothing more.
    pub(crate) fn stop(&self) {
        self.deadline.store(NEVER, Ordering::Relaxed);
    }

    /// Whether the statement may go on. What comes after an interrupted one has its own time.
    pub(crate) fn may_go_on(&self) -> bool {
        let deadline = self.deadline.load(Ordering::Relaxed);
        if deadline == NEVER || micros(self.began.elapsed()) < deadline {
            return true;
        }
        if deadline != NOW {
            self.restart();
        }
        false
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(NEVER)
}
