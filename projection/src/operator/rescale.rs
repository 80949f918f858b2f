//! Giving a projection another number of partitions.

use es::{EventSource, Partition, ProjectionName, StoreError};

use crate::limits::answered;
use crate::rescale::{Rescaled, rescale_in};
use crate::transaction::ended;

/// Gives a projection `total` partitions, or begins to: see [`Rescaled`]. Call it again to see how
/// far it is, or with another number to change your mind. Every event is handled once, whatever
/// happens meanwhile.
///
/// A multiple of the present number is there at once. Processors that were
/// [told their partitions](crate::Processor::with_assigned) stop with an error once there is
/// another number: start them with the new one.
///
/// # Errors
///
/// Whatever the store says, and [`StoreError::Misuse`] if `total` is not 1 to
/// [`SLOT_COUNT`](es::limits::SLOT_COUNT).
///
/// # Cancel safety
///
/// Cancel safe: what was begun is rolled back, or stays resumable.
pub async fn rescale<S: EventSource>(
    source: &S,
    projection: &ProjectionName,
    total: u16,
) -> Result<Rescaled, StoreError> {
    Partition::new(0, total).map_err(StoreError::misuse)?;
    let mut tx = answered(source.begin()).await?;
    let rescaled = answered(rescale_in(source.store(), &mut tx, projection, total)).await;
    ended(source, tx, rescaled).await
}
