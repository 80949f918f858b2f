//! Forwards what a store for tests does not change.

/// Implements [`ProjectionStore`](crate::projection_store::ProjectionStore) for a wrapper by
/// forwarding to a field: for stores in tests that break or watch something else. With `through
/// method`, each call goes through that method of the wrapper, which takes the call's name and its
/// future.
#[macro_export]
macro_rules! forward_projection_store {
    ($wrapper:ty => $field:ident $(, through $hook:ident)?) => {
        $crate::forward_projection_store! { @methods $wrapper, $field, ($($hook)?);
            projections() -> Vec<$crate::ProjectionState>;
            lock_projection(projection: &$crate::ProjectionName) -> Option<$crate::ProjectionState>;
            save_projection(state: &$crate::ProjectionState) -> ();
            partitions(projection: &$crate::ProjectionName) -> Vec<$crate::PartitionState>;
            lock_partitions(projection: &$crate::ProjectionName) -> Vec<$crate::PartitionState>;
            rewrite_partitions(projection: &$crate::ProjectionName, seeds: &[$crate::adapter::PartitionSeed]) -> ();
            delete_projection(projection: &$crate::ProjectionName) -> ();
            claim(projection: &$crate::ProjectionName, partition: $crate::Partition, worker: &$crate::WorkerId, lease: ::std::time::Duration) -> Option<$crate::adapter::Epoch>;
            renew(projection: &$crate::ProjectionName, partition: $crate::Partition, epoch: $crate::adapter::Epoch, lease: ::std::time::Duration) -> bool;
            release(projection: &$crate::ProjectionName, partition: $crate::Partition, epoch: $crate::adapter::Epoch) -> ();
            heartbeat(projection: &$crate::ProjectionName, worker: &$crate::WorkerId, alive_for: ::std::time::Duration) -> ();
            leave(projection: &$crate::ProjectionName, worker: &$crate::WorkerId) -> ();
            workers(projection: &$crate::ProjectionName) -> Vec<$crate::WorkerId>;
            record_attempt(projection: &$crate::ProjectionName, partition: $crate::Partition, epoch: $crate::adapter::Epoch, attempt: $crate::adapter::Attempt<'_>) -> ();
            dead_letters(projection: &$crate::ProjectionName, after: $crate::Position, count_max: u32) -> Vec<$crate::DeadLetter>;
            dead_letter_queue(projection: &$crate::ProjectionName, stream: &$crate::StreamId, count_max: u32) -> Vec<$crate::DeadLetter>;
            dead_letter_counts(projection: &$crate::ProjectionName) -> Vec<(u16, u64)>;
            parked_streams(projection: &$crate::ProjectionName, aggregate_ids: &[&str]) -> Vec<$crate::StreamId>;
            put_dead_letters(projection: &$crate::ProjectionName, letters: &[$crate::DeadLetter]) -> ();
            remove_dead_letters(projection: &$crate::ProjectionName, positions: &[$crate::Position]) -> ();
            remove_dead_letters_after(projection: &$crate::ProjectionName, after: $crate::Position) -> ();
        }
    };
    (@methods $wrapper:ty, $field:ident, $hook:tt;
        $($method:ident($($argument:ident: $kind:ty),*) -> $output:ty;)*
    ) => {
        impl $crate::adapter::ProjectionStore for $wrapper {
            $(
                async fn $method(
                    &self,
                    conn: &mut <Self as $crate::adapter::EventLog>::Connection,
                    $($argument: $kind),*
                ) -> Result<$output, $crate::StoreError> {
                    let answer =
                        $crate::adapter::ProjectionStore::$method(&self.$field, conn, $($argument),*);
                    $crate::forward_projection_store!(@await $hook self, $method, answer)
                }
            )*
        }
    };
    (@await () $this:expr, $method:ident, $answer:expr) => {
        $answer.await
    };
    (@await ($hook:ident) $this:expr, $method:ident, $answer:expr) => {
        $this.$hook(stringify!($method), $answer).await
    };
}
