//! How long a run waits after one interruption and the next.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The longest pause, before jitter, until work is tried again that the database undid.
const UNDONE_PAUSE_MAX: Duration = Duration::from_secs(3);

/// The longest pause, before jitter, until a database is asked again that could not be reached or
/// cannot serve.
const OUTAGE_PAUSE_MAX: Duration = Duration::from_secs(10);

/// What went wrong in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    pub(super) count: usize,
    pauses: Option<(bool, ExponentialBackoff)>,
}

impl Backoff {
    /// The pause before the next attempt: exponential, capped, with jitter, without an end.
    pub(super) fn next(&mut self, is_at_event: bool) -> Duration {
        self.count = self.count.saturating_add(1);
        let max = if is_at_event { UNDONE_PAUSE_MAX } else { OUTAGE_PAUSE_MAX };
        let begin = || {
            let pauses = ExponentialBuilder::new().with_min_delay(Duration::from_millis(5));
            pauses.with_max_delay(max).without_max_times().with_jitter().build()
        };
        if self.pauses.as_ref().is_none_or(|(of, _)| *of != is_at_event) {
            self.pauses = Some((is_at_event, begin()));
        }
        let next = self.pauses.as_mut().and_then(|(_, pauses)| pauses.next());
        next.unwrap_or(max)
    }
}
