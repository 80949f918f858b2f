//! By what right a partition is handled, and how that ends.

use std::time::Duration;

use es::adapter::Epoch;

/// By what right a run handles its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Somebody told it to: it goes on in whatever epoch it finds.
    Assigned,
    /// It was claimed, and is worked on in this epoch only.
    Leased { epoch: Epoch, lease: Duration },
}

impl Ownership {
    pub(super) fn is_assigned(self) -> bool {
        self == Ownership::Assigned
    }

    pub(super) fn lease(self) -> Option<Duration> {
        match self {
            Ownership::Assigned => None,
            Ownership::Leased { lease, .. } => Some(lease),
        }
    }

    /// The only epoch that it is good for, if there is one.
    pub(super) fn epoch(self) -> Option<Epoch> {
        match self {
            Ownership::Assigned => None,
            Ownership::Leased { epoch, .. } => Some(epoch),
        }
    }
}

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to stop, or has caught up.
    Finished,
    /// The partition is of another epoch now: another worker's, or an operator has changed it.
    Lost,
}
