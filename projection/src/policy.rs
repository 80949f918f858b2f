//! What becomes of an event whose handler fails.

use std::num::NonZeroU32;
use std::time::Duration;

/// What becomes of an event whose handler fails through no fault of the database.
///
/// What the server causes (a full disk, a restart) never counts, and is waited for. What undoes a
/// transaction (a deadlock, a time limit, a lost connection) does not count either; but an event at
/// which one transaction after the other is undone is the policy's in the end, see
/// [`ProjectionOptions::with_attempts_max`](crate::ProjectionOptions::with_attempts_max).
///
/// Attempts are noted in the database before they are made, so they count across restarts, and an
/// attempt that its process does not live to see the end of counts, too. An event in the middle of
/// which three processes ended, or as many as there are attempts, is not tried again: it is parked,
/// or its partition stands still, whichever process takes it over, until an operator resumes or
/// resets the projection or skips the event.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailurePolicy {
    /// The partition stands still at the event, until an operator lets it go on. A processor that
    /// was [told its partitions](crate::Processor::with_assigned) stops with an error that names
    /// the event, and so does one that [catches up](crate::Processor::run_until_caught_up).
    #[default]
    Stop,
    /// The event is tried again, then as [`Stop`](FailurePolicy::Stop).
    Retry(Retries),
    /// The event is tried again, then it is parked among the dead letters. Later events of its
    /// stream queue there after it, so that the stream keeps its order; all others go on.
    ///
    /// Many events that fail in a row are not the events' fault: see
    /// [`ProjectionOptions::with_parked_in_a_row_max`](crate::ProjectionOptions::with_parked_in_a_row_max).
    Park(Retries),
}

/// How often an event is tried, and how long the pauses are: *full jitter*, a random part of a
/// limit that doubles with each attempt
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    attempts_max: NonZeroU32,
    delay_min: Duration,
    delay_max: Duration,
}

impl Retries {
    /// Up to `attempts_max` attempts at an event, whichever process makes them, with pauses of up
    /// to 100 ms, then 200 ms, and so on up to 10 s.
    pub fn new(attempts_max: NonZeroU32) -> Self {
        let (delay_min, delay_max) = (Duration::from_millis(100), Duration::from_secs(10));
        Retries { attempts_max, delay_min, delay_max }
    }

    /// The largest pause after the first attempt.
    #[must_use]
    pub fn with_delay_min(self, delay_min: Duration) -> Self {
        Retries { delay_min, ..self }
    }

    /// The largest pause of all.
    #[must_use]
    pub fn with_delay_max(self, delay_max: Duration) -> Self {
        Retries { delay_max, ..self }
    }

    /// The pause after `attempt`, where `random` is between 0 and 1; `None` if it was the last.
    fn delay_after(self, attempt: u32, random: f64) -> Option<Duration> {
        if attempt >= self.attempts_max.get() {
            return None;
        }
        let doublings = attempt.saturating_sub(1).min(31);
        let limit = self.delay_min.saturating_mul(1 << doublings).min(self.delay_max);
        Some(limit.mul_f64(random.clamp(0.0, 1.0)))
    }
}

/// What to do about an event that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    RetryAfter(Duration),
    Park,
    Stop,
}

/// How many processes may end in the middle of an event, whatever the policy says of attempts: one
/// or two may have been killed for another reason.
const DEATHS_MIN: u32 = 3;

impl FailurePolicy {
    /// What to do about an event when no attempt is left.
    pub(crate) fn last(self) -> Verdict {
        match self {
            FailurePolicy::Stop | FailurePolicy::Retry(_) => Verdict::Stop,
            FailurePolicy::Park(_) => Verdict::Park,
        }
    }

    /// Whether an event is given up before it is tried again, because the process that made the
    /// last of these attempts ended in the middle of it.
    pub(crate) fn gives_up_after_death(self, attempts: u32) -> bool {
        let attempts_max = match self {
            FailurePolicy::Stop => DEATHS_MIN,
            FailurePolicy::Retry(retries) | FailurePolicy::Park(retries) => {
                retries.attempts_max.get().max(DEATHS_MIN)
            }
        };
        attempts >= attempts_max
    }

    /// What to do after `attempt` has failed, where `random` is between 0 and 1.
    pub(crate) fn judge(self, attempt: u32, random: f64) -> Verdict {
        let retries = match self {
            FailurePolicy::Stop => return Verdict::Stop,
            FailurePolicy::Retry(retries) | FailurePolicy::Park(retries) => retries,
        };
        retries.delay_after(attempt, random).map_or(self.last(), Verdict::RetryAfter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_are_bounded_and_end(
            attempts_max in 1_u32..100,
            attempt in 1_u32..200,
            random in 0.0..1.0,
            delay_min in 0_u64..5_000,
            delay_max in 0_u64..100_000,
        ) {
            let delay_max = Duration::from_millis(delay_max);
            let retries = Retries::new(NonZeroU32::new(attempts_max).unwrap())
                .with_delay_min(Duration::from_millis(delay_min))
                .with_delay_max(delay_max);
            for (policy, last) in [
                (FailurePolicy::Retry(retries), Verdict::Stop),
                (FailurePolicy::Park(retries), Verdict::Park),
            ] {
                match policy.judge(attempt, random) {
                    Verdict::RetryAfter(delay) => {
                        prop_assert!(attempt < attempts_max && delay <= delay_max);
                    }
                    verdict => {
                        prop_assert!(attempt >= attempts_max);
                        prop_assert_eq!(verdict, last);
                    }
                }
            }
            prop_assert_eq!(FailurePolicy::Stop.judge(attempt, random), Verdict::Stop);
        }
    }
}
