//! How long a run waits before it looks for events again.

use std::time::Duration;

use tokio::time::Instant;

/// Since when there has been nothing to do, and the pause after the last look.
pub(super) struct Idle {
    since: Instant,
    pause: Duration,
}

impl Idle {
    /// There is something to do now.
    pub(super) fn new() -> Self {
        Idle { since: Instant::now(), pause: Duration::ZERO }
    }

    /// The pause after the last look; zero if that look found something.
    pub(super) fn pause(&self) -> Duration {
        self.pause
    }

    /// An eighth of the time in which nothing came, 1 ms at least: events that come regularly wait
    /// for a sixteenth of their distance on average, and a silent log is asked ever more rarely.
    pub(super) fn next(&mut self, max: Duration) -> Duration {
        self.pause = (self.since.elapsed() / 8).clamp(Duration::from_millis(1), max);
        self.pause
    }
}
