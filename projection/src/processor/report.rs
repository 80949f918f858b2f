//! What a run says when it cannot go on, and when it goes on again.

use std::time::Duration;

use es::{EventSource, StoreError};
use tracing::{info, warn};

use super::interruption::Retry;
use super::run::Run;
use crate::error::ProcessorError;
use crate::handler_error::error_text;
use crate::observe;
use crate::projection::Projection;

/// After how many failures in a row an operator is told.
const TOLD_AFTER: usize = 3;

impl<S, P> Run<'_, S, P>
where
    S: EventSource,
    P: Projection<Connection = S::Connection>,
{
    /// What makes a partition stand still is there for operators to see. An event's error is noted
    /// already, with the event.
    pub(super) async fn stands_still(&mut self, error: ProcessorError) -> ProcessorError {
        let is_noted = matches!(error, ProcessorError::Handler { .. })
            || matches!(error, ProcessorError::RetriesExhausted { position: Some(_), .. });
        if !is_noted {
            self.tell(&error_text(&error)).await;
        }
        error
    }

    /// Work is going on again.
    pub(super) async fn is_well(&mut self) {
        let assignment = &self.assignment;
        assignment.process.health.partition_is_well(&assignment.name, assignment.partition);
        if std::mem::take(&mut self.attempts.has_told) {
            info!("going on again");
            self.tell("").await;
        }
    }

    /// Says so wherever somebody may look: the log, the metrics, the health of the process and, if
    /// the database can be reached, the partition's status.
    pub(super) async fn is_unwell(&mut self, retry: &Retry, attempts: usize, delay: Duration) {
        let (name, partition) = (&self.assignment.name, self.assignment.partition);
        observe::retried(name);
        let reason = error_text(&*retry.source);
        self.assignment.process.health.partition_fails(name, partition, false, reason.clone());
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
            self.attempts.has_told = true;
        }
    }
}
