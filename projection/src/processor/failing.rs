//! What is known of the event that fails, and what a failed attempt at it means: decisions, no I/O.

use es::adapter::Checkpoint;
use es::{Cause, Position};

use crate::handler_error::Said;
use crate::policy::{FailurePolicy, Verdict};
use crate::user_code::Failed;

/// The event after the checkpoint that was tried and not handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failing {
    pub(crate) position: Position,
    /// The attempts that count.
    pub(crate) failed: u32,
    /// The attempts that the database undid, in a row, in this process.
    pub(crate) undone: u32,
    /// Whether the last attempt that counts has not ended: its process died in the middle of it.
    pub(crate) is_open: bool,
}

impl Failing {
    pub(crate) fn at(position: Position) -> Self {
        Failing { position, failed: 0, undone: 0, is_open: false }
    }

    /// What an earlier process has noted, if it was not the end of its event.
    pub(crate) fn noted(checkpoint: &Checkpoint) -> Option<Self> {
        let position = checkpoint.failing_position?;
        let (failed, is_open) = (checkpoint.attempts, checkpoint.is_attempt_open);
        Some(Failing { position, failed, undone: 0, is_open })
    }
}

/// What to do about an event after an attempt at it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The attempt does not count: another transaction may succeed.
    Again,
    /// The attempt does not count, and no number of them is the event's fault.
    WaitForServer,
    /// The attempt counts.
    Policy(Verdict),
}

/// What to do after the latest attempt at the event of `failing`, which it does not yet count,
/// has failed, where `random` is between 0 and 1.
pub(crate) fn judge(
    failed: &Failed,
    failing: Failing,
    policy: FailurePolicy,
    undone_max: u32,
    random: f64,
) -> Next {
    match (failed.said, failed.cause) {
        (Some(Said::Permanent), _) => Next::Policy(policy.last()),
        (_, Cause::Server) => Next::WaitForServer,
        _ if !failed.is_undone() => {
            Next::Policy(policy.judge(failing.failed.saturating_add(1), random))
        }
        _ if failing.undone.saturating_add(1) < undone_max => Next::Again,
        _ => Next::Policy(policy.last()),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::policy::Retries;

    fn failed(cause: Cause, said: Option<Said>) -> Failed {
        Failed { error: "it".into(), cause, said }
    }

    fn park() -> FailurePolicy {
        FailurePolicy::Park(Retries::new(NonZeroU32::new(3).unwrap()))
    }

    fn after(failed_before: u32, undone: u32, failure: &Failed) -> Next {
        let failing = Failing { failed: failed_before, undone, ..Failing::at(1.into()) };
        judge(failure, failing, park(), 5, 0.0)
    }

    #[test]
    fn the_server_is_waited_for_however_often_it_fails() {
        for said in [None, Some(Said::Retryable)] {
            for times in [0, 5, 1_000] {
                let next = after(times, times, &failed(Cause::Server, said));
                assert_eq!(next, Next::WaitForServer, "{said:?}");
            }
        }
    }

    #[test]
    fn an_event_that_every_transaction_is_undone_at_is_the_policys_in_the_end() {
        let undone = failed(Cause::Transaction, None);
        assert_eq!(after(2, 3, &undone), Next::Again);
        assert_eq!(after(0, 4, &undone), Next::Policy(Verdict::Park));
    }

    #[test]
    fn a_handler_knows_its_own_errors() {
        let permanent = failed(Cause::Statement, Some(Said::Permanent));
        assert_eq!(after(0, 0, &permanent), Next::Policy(Verdict::Park));
        let retryable = failed(Cause::Statement, Some(Said::Retryable));
        assert_eq!(after(2, 3, &retryable), Next::Again);
        assert_eq!(after(2, 4, &retryable), Next::Policy(Verdict::Park));
    }

    #[test]
    fn an_error_of_the_handlers_counts() {
        let own = failed(Cause::Statement, None);
        assert!(matches!(after(0, 4, &own), Next::Policy(Verdict::RetryAfter(_))));
        assert_eq!(after(2, 0, &own), Next::Policy(Verdict::Park));
    }
}
