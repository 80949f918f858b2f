//! Clauses about checkpoints and the fence between workers.

use super::Harness;
use super::fixture::{Fixture, Tx};
use crate::checkpoint::{
    CheckpointError, CheckpointMove, CheckpointStore, Epoch, PartitionCheckpoint, ProjectionName,
};
use crate::partition::Partition;
use crate::partition_count::PartitionCount;
use crate::position::Position;
use crate::source::EventSource;

pub(super) fn name(name: &str) -> ProjectionName {
    ProjectionName::new(name).expect("a valid name")
}

impl<H: Harness> Fixture<H> {
    pub(super) async fn register(
        &self,
        projection: &str,
        partition: Partition,
    ) -> Result<Position, CheckpointError> {
        let mut tx = self.begin().await;
        let result = self.store().register_checkpoint(&mut tx, &name(projection), partition).await;
        match result {
            Ok(_) => self.commit(tx).await,
            Err(_) => self.rollback(tx).await,
        }
        result.map(|checkpoint| checkpoint.position)
    }

    async fn lock(
        &self,
        tx: &mut Tx<H>,
        projection: &str,
        partition: Partition,
    ) -> Result<Position, CheckpointError> {
        let locked = self.store().lock_checkpoint(tx, &name(projection), partition).await;
        locked.map(|checkpoint| checkpoint.position)
    }

    async fn save(
        &self,
        tx: &mut Tx<H>,
        projection: &str,
        partition: Partition,
        from: u32,
        to: u32,
    ) -> Result<(), CheckpointError> {
        let (from, to) = (Position::from(from), Position::from(to));
        let to = CheckpointMove { epoch: Epoch::FIRST, from, to, lease: None };
        self.store().save_checkpoint(tx, &name(projection), partition, to).await
    }

    async fn save_committed(&self, projection: &str, partition: Partition, from: u32, to: u32) {
        let mut tx = self.begin().await;
        self.lock(&mut tx, projection, partition).await.expect("the checkpoint is there");
        self.save(&mut tx, projection, partition, from, to).await.expect("it is where it was");
        self.commit(tx).await;
    }

    async fn checkpoints(&self, projection: &str) -> Vec<(u16, i64)> {
        let mut conn = self.conn().await;
        let all = self.store().checkpoints(&mut conn, &name(projection)).await;
        let pair = |PartitionCheckpoint { partition, position }: PartitionCheckpoint| {
            (partition.index(), position.get())
        };
        all.expect("the checkpoints are read").into_iter().map(pair).collect()
    }
}

/// Registering makes the checkpoints of all partitions, so that one nobody drives is seen, too.
pub async fn a_new_projection_starts_at_the_start<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    assert!(store.checkpoints("p").await.is_empty());
    assert_eq!(store.register("p", Partition::ALL).await.expect("new"), Position::START);
    assert_eq!(store.checkpoints("p").await, [(0, 0)]);
    assert!(store.checkpoints("q").await.is_empty());
}

/// A worker that starts again goes on where it was.
pub async fn registering_again_keeps_the_checkpoint<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    store.save_committed("p", Partition::ALL, 0, 7).await;
    let again = store.register("p", Partition::ALL).await.expect("known");
    assert_eq!(again, Position::from(7));
    assert_eq!(store.checkpoints("p").await, [(0, 7)]);
}

/// Saving is a compare-and-set.
pub async fn a_checkpoint_moves_only_from_where_it_is<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    store.save_committed("p", Partition::ALL, 0, 5).await;
    for from in [0, 4, 6] {
        let mut tx = store.begin().await;
        let result = store.save(&mut tx, "p", Partition::ALL, from, 9).await;
        assert!(matches!(result, Err(CheckpointError::Stale { .. })), "from {from}: {result:?}");
        store.rollback(tx).await;
    }
    assert_eq!(store.checkpoints("p").await, [(0, 5)]);
    store.save_committed("p", Partition::ALL, 5, 9).await;
    assert_eq!(store.checkpoints("p").await, [(0, 9)]);
}

/// Invariant 5: effects and checkpoint are one transaction.
pub async fn a_checkpoint_rolls_back_with_its_transaction<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    let mut tx = store.begin().await;
    store.harness.insert_row(&mut tx, "effects", 1).await.expect("an effect");
    store.save(&mut tx, "p", Partition::ALL, 0, 5).await.expect("it is where it was");
    store.rollback(tx).await;
    assert_eq!(store.checkpoints("p").await, [(0, 0)]);
    let mut conn = store.conn().await;
    assert!(store.harness.rows(&mut conn, "effects").await.expect("rows").is_empty());
}

/// Invariant 5: a worker that believes in an old checkpoint cannot commit its effects.
pub async fn a_stale_worker_is_fenced_out<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    let mut other = store.begin().await;
    let seen = store.lock(&mut other, "p", Partition::ALL).await.expect("it is there");
    assert_eq!(seen, Position::START);
    store.save(&mut other, "p", Partition::ALL, 0, 5).await.expect("it is where it was");
    store.harness.insert_row(&mut other, "effects", 1).await.expect("an effect");
    store.commit(other).await;

    let mut stale = store.begin().await;
    store.harness.insert_row(&mut stale, "effects", 2).await.expect("an effect");
    let result = store.save(&mut stale, "p", Partition::ALL, 0, 5).await;
    assert!(matches!(result, Err(CheckpointError::Stale { .. })), "{result:?}");
    store.rollback(stale).await;
    let mut fresh = store.begin().await;
    let now = store.lock(&mut fresh, "p", Partition::ALL).await.expect("it is there");
    assert_eq!(now, Position::from(5));
    assert_eq!(store.harness.rows(&mut fresh, "effects").await.expect("rows"), [1]);
    store.rollback(fresh).await;
}

/// Partitions and projections move on their own.
pub async fn partitions_have_their_own_checkpoints<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let first = Partition::new(0, PartitionCount::of(3)).expect("a partition");
    store.register("p", first).await.expect("new");
    assert_eq!(store.checkpoints("p").await, [(0, 0), (1, 0), (2, 0)]);
    store.register("q", Partition::ALL).await.expect("new");
    let second = Partition::new(1, PartitionCount::of(3)).expect("a partition");
    store.save_committed("p", second, 0, 4).await;
    assert_eq!(store.checkpoints("p").await, [(0, 0), (1, 4), (2, 0)]);
    assert_eq!(store.checkpoints("q").await, [(0, 0)]);
}

/// Another number of partitions would skip or repeat events, so it is refused.
pub async fn another_partition_count_is_refused<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store
        .register("p", Partition::new(1, PartitionCount::of(4)).expect("a partition"))
        .await
        .expect("new");
    let four = PartitionCount::of(4);
    for (index, total) in [(1, 2), (0, 1), (7, 8)] {
        let total = PartitionCount::of(total);
        let other = Partition::new(index, total).expect("a partition");
        match store.register("p", other).await {
            Err(CheckpointError::PartitionCount { projection, stored, asked }) => {
                assert_eq!((projection, stored, asked), (name("p"), four, total));
            }
            result => panic!("{other}: {result:?}"),
        }
        // Whether a row of that number is there or not: it is not called missing.
        let mut tx = store.begin().await;
        let locked = store.lock(&mut tx, "p", other).await;
        let is_refused = matches!(
            &locked,
            Err(CheckpointError::PartitionCount { stored, .. }) if *stored == four
        );
        assert!(is_refused, "{other}: {locked:?}");
        store.rollback(tx).await;
    }
    assert_eq!(store.checkpoints("p").await, [(0, 0), (1, 0), (2, 0), (3, 0)]);
    let sibling = Partition::new(3, PartitionCount::of(4)).expect("a partition");
    store.register("p", sibling).await.expect("the same number of partitions");
}

/// A checkpoint that is not there is not taken for the start.
pub async fn a_missing_checkpoint_is_an_error<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let mut tx = store.begin().await;
    let locked = store.lock(&mut tx, "p", Partition::ALL).await;
    assert!(matches!(locked, Err(CheckpointError::Missing { .. })), "{locked:?}");
    let saved = store.save(&mut tx, "p", Partition::ALL, 0, 1).await;
    assert!(matches!(saved, Err(CheckpointError::Stale { .. })), "{saved:?}");
    store.rollback(tx).await;
}

/// Two transactions that are open at once and save from the same position: one moves the
/// checkpoint, the other must not, whether it waits, is refused, or comes too late.
pub async fn of_two_open_transactions_one_moves_the_checkpoint<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    let save = async |to: u32| {
        let mut tx = store.source.begin().await.ok()?;
        store.harness.insert_row(&mut tx, "effects", to.into()).await.ok()?;
        let saved = store.save(&mut tx, "p", Partition::ALL, 0, to).await;
        if saved.is_err() {
            store.rollback(tx).await;
            return None;
        }
        store.source.commit(tx).await.ok().map(|()| to)
    };
    let (first, second) = futures_util::future::join(save(5), save(6)).await;
    let winners: Vec<u32> = first.into_iter().chain(second).collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(store.checkpoints("p").await, [(0, i64::from(winners[0]))]);
    let mut conn = store.conn().await;
    let effects = store.harness.rows(&mut conn, "effects").await.expect("rows");
    assert_eq!(effects, [i64::from(winners[0])]);
}
