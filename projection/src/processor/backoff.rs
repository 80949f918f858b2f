//! What a run does when it cannot go on: it waits, and says so.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use es::{EventSource, StoreError};
use tracing::{info, warn};

use super::run::{Retry, Run};
use crate::handler_error::error_text;
use crate::{ProcessorError, Projection, observe};

/// The longest pause, before jitter, until work is tried again that the database undid.
const UNDONE_PAUSE_MAX: Duration = Duration::from_secs(3);

/// The longest pause, before jitter, until a database is asked again that could not be reached or
/// cannot serve.
const OUTAGE_PAUSE_MAX: Duration = Duration::from_secs(10);

/// After how many failures in a row an operator is told.
const TOLD_AFTER: usize = 3;

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

impl<S, P> Run<'_, S, P>
where
    S: EventSource,
    P: Projection<S::Connection>,
{
    /// What makes a partition stand still is there for operators to see. An event's error is noted
    /// already, with the event.
    pub(super) async fn stopped(&mut self, error: ProcessorError) -> ProcessorError {
        let is_noted = matches!(error, ProcessorError::Handler { .. })
            || matches!(error, ProcessorError::RetriesExhausted { position: Some(_), .. });
        if !is_noted {
            self.tell(&error_text(&error)).await;
        }
        error
    }

    /// Work is going on again.
    pub(super) async fn is_well(&mut self) {
        self.processor.health.partition_is_well(&self.name, self.partition);
        if std::mem::take(&mut self.has_told) {
            info!("going on again");
            self.tell("").await;
        }
    }

    /// Says so wherever somebody may look: the log, the metrics, the health of the process and, if
    /// the database can be reached, the partition's status.
    pub(super) async fn is_unwell(&mut self, retry: &Retry, attempts: usize, delay: Duration) {
        observe::retried(&self.name);
        let (name, partition) = (&self.name, self.partition);
        let reason = error_text(&*retry.source);
        self.processor.health.partition_fails(name, partition, false, reason.clone());
        if attempts < TOLD_AFTER {
            info!(reason, attempts, ?delay, "trying again");
            return;
        }
        warn!(reason, attempts, ?delay, "cannot go on, trying again");
        let is_unreachable =
            matches!(retry.source.downcast_ref(), Some(StoreError::ConnectionLost { .. }));
        // What the database did not learn when it was asked is learned by the next attempt.
        if !is_unreachable && (attempts == TOLD_AFTER || attempts.is_multiple_of(10)) {
            self.tell(&reason).await;
            self.has_told = true;
        }
    }
}
