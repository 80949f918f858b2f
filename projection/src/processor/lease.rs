//! The lease on a partition, and how it is kept while a run waits.

use std::time::Duration;

use es::adapter::ProjectionStore;
use es::{EventSource, StoreError};
use tokio::time::{Instant, sleep_until};

use super::assignment::Assignment;
use super::interruption::Interruption;
use super::ownership::Ownership;
use crate::limits::answered_within;
use crate::projection::Projection;

/// When the lease is to be renewed. An assigned partition has none.
pub(super) struct Lease {
    renew_at: Instant,
}

impl Lease {
    pub(super) fn new(ownership: Ownership) -> Self {
        Lease { renew_at: Instant::now() + ownership.lease().unwrap_or_default() / 3 }
    }

    /// A commit has extended it, no earlier than `since`.
    pub(super) fn was_extended(&mut self, ownership: Ownership, since: Instant) {
        if let Some(lease) = ownership.lease() {
            self.renew_at = self.renew_at.max(since + lease / 3);
        }
    }

    /// Sleeps, and keeps the lease meanwhile; says whether `wake` ended it.
    pub(super) async fn sleep<S, P>(
        &mut self,
        assignment: &Assignment<'_, S, P>,
        duration: Duration,
        wake: impl Future<Output = ()>,
    ) -> Result<bool, Interruption>
    where
        S: EventSource,
        P: Projection<Connection = S::Connection>,
    {
        tokio::pin!(wake);
        let until = Instant::now() + duration;
        let lease = assignment.ownership.lease();
        loop {
            let next = lease.map_or(until, |_| until.min(self.renew_at));
            tokio::select! {
                biased;
                () = assignment.shutdown.cancelled() => return Ok(false),
                () = sleep_until(next) => {}
                () = &mut wake => return Ok(true),
            }
            if next == until {
                return Ok(false);
            }
            match self.renew_if_due(assignment).await {
                // The lease has two thirds left, and the pause is not over.
                Err(Interruption::Retry(_)) => {
                    self.renew_at = Instant::now() + lease.unwrap_or_default() / 10;
                }
                renewed => renewed?,
            }
        }
    }

    /// A third of the lease passes at most before it is renewed, unless a batch takes longer: its
    /// lock on the checkpoint then keeps others out.
    pub(super) async fn renew_if_due<S, P>(
        &mut self,
        assignment: &Assignment<'_, S, P>,
    ) -> Result<(), Interruption>
    where
        S: EventSource,
        P: Projection<Connection = S::Connection>,
    {
        let Ownership::Leased { epoch, lease } = assignment.ownership else {
            return Ok(());
        };
        let now = Instant::now();
        if now < self.renew_at {
            return Ok(());
        }
        let (source, store) = (assignment.source(), assignment.store());
        let renew = async {
            let mut conn = source.acquire().await?;
            let (name, partition) = (&assignment.name, assignment.partition);
            let renewed = store.renew(&mut conn, name, partition, epoch, lease).await?;
            source.release(conn);
            Ok::<bool, StoreError>(renewed)
        };
        // An answer that comes after the lease is of no use.
        let renewed = answered_within(lease.min(assignment.time_max()), renew).await;
        if !renewed.map_err(|error| assignment.store_failed(error))? {
            return Err(Interruption::Lost);
        }
        self.renew_at = now + lease / 3;
        Ok(())
    }
}
