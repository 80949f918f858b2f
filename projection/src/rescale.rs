//! Bringing a projection to another number of partitions: an operator begins, and any worker that
//! finds all partitions at the barrier completes it.

mod plan;

use es::adapter::ProjectionStore;
use es::{EventSource, PartitionCount, ProjectionName, StoreError};
use tracing::info;

pub(crate) use self::plan::is_drained;
use self::plan::{RescalePlan, plan_rescale};
use crate::transaction::ended;

/// How far a projection has come to another number of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rescaled {
    /// It has that many.
    Done,
    /// Its partitions are on their way to a barrier, and stop there. Workers complete it when all
    /// have come there; without workers, call again.
    Draining,
}

/// Gives a projection the number of partitions it is draining for, if it still is, and all have
/// come to the barrier.
pub(crate) async fn complete_rescale<S: EventSource>(
    source: &S,
    projection: &ProjectionName,
) -> Result<(), StoreError> {
    let (store, mut tx) = (source.store(), source.begin().await?);
    let drained = async {
        let Some(state) = store.lock_projection(&mut tx, projection).await? else {
            return Ok(());
        };
        let partitions = store.lock_partitions(&mut tx, projection).await?;
        match state.rescale_to {
            // What an operator has decided since is not undone.
            Some(total) if is_drained(&partitions) => {
                rescale_in(store, &mut tx, projection, total).await.map(drop)
            }
            _ => Ok(()),
        }
    };
    let drained = drained.await;
    ended(source, tx, drained).await
}

/// Brings a projection nearer to `total` partitions; `None` if there is no such projection.
pub(crate) async fn rescale_in<T: ProjectionStore>(
    store: &T,
    conn: &mut T::Connection,
    projection: &ProjectionName,
    total: PartitionCount,
) -> Result<Option<Rescaled>, StoreError> {
    let Some(state) = store.lock_projection(conn, projection).await? else {
        return Ok(None);
    };
    let partitions = store.lock_partitions(conn, projection).await?;
    let indexes = partitions.iter().map(|state| state.partition.index());
    if !indexes.eq(0..state.partition_total.get()) {
        let (count, total) = (partitions.len(), state.partition_total);
        let what = format!("projection {projection} with {count} of {total} partitions");
        return Err(StoreError::corrupt(what));
    }
    let (state, seeds) = match plan_rescale(&state, &partitions, total) {
        RescalePlan::Nothing => return Ok(Some(Rescaled::Done)),
        RescalePlan::Wait(_) => return Ok(Some(Rescaled::Draining)),
        RescalePlan::Write(state, seeds) => (state, seeds),
    };
    store.rewrite_partitions(conn, projection, &seeds).await?;
    store.save_projection(conn, &state).await?;
    let is_draining = state.rescale_to.is_some();
    info!(%projection, from = partitions.len(), to = %total, is_draining, "rescaling");
    Ok(Some(if is_draining { Rescaled::Draining } else { Rescaled::Done }))
}
