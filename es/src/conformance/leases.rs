//! Clauses about who owns a partition, and for how long.

use std::time::Duration;

use super::Harness;
use super::checkpoints::name;
use super::fixture::Fixture;
use crate::checkpoint::{CheckpointError, CheckpointMove, CheckpointStore, Epoch};
use crate::partition::Partition;
use crate::partition_count::PartitionCount;
use crate::position::Position;
use crate::projection_state::{Attempt, PartitionState, WorkerId};
use crate::projection_store::ProjectionStore;

/// Longer than any clause takes.
const LONG: Duration = Duration::from_mins(10);

/// Over by the next statement, or soon after.
const SHORT: Duration = Duration::from_millis(1);

pub(super) fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).expect("a valid name")
}

fn partition(index: u16, total: u16) -> Partition {
    Partition::new(index, PartitionCount::of(total)).expect("a partition")
}

impl<H: Harness> Fixture<H> {
    async fn claim(&self, of: Partition, by: &str, lease: Duration) -> Option<Epoch> {
        let mut tx = self.begin().await;
        let claimed = self.store().claim(&mut tx, &name("p"), of, &worker(by), lease).await;
        self.commit(tx).await;
        claimed.expect("a claim is answered")
    }

    /// Claims a partition whose lease is as good as over, as soon as it is.
    async fn claim_expired(&self, of: Partition, by: &str) -> Epoch {
        for _ in 0..1_000 {
            if let Some(epoch) = self.claim(of, by, LONG).await {
                return epoch;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the lease does not expire")
    }

    pub(super) async fn partitions(&self) -> Vec<PartitionState> {
        let mut conn = self.conn().await;
        self.store().partitions(&mut conn, &name("p")).await.expect("the partitions are read")
    }

    /// Moves partition 0 of 1 in a transaction of its own.
    async fn move_in(
        &self,
        epoch: Epoch,
        from: u32,
        to: u32,
        lease: Option<Duration>,
    ) -> Result<(), CheckpointError> {
        let (from, to) = (Position::from(from), Position::from(to));
        let to = CheckpointMove { epoch, from, to, lease };
        let mut tx = self.begin().await;
        let saved = self.store().save_checkpoint(&mut tx, &name("p"), Partition::ALL, to).await;
        match saved {
            Ok(()) => self.commit(tx).await,
            Err(_) => self.rollback(tx).await,
        }
        saved
    }
}

/// The one who claimed last moves the checkpoint; the owner before cannot, though it is where it
/// was.
pub async fn a_stale_epoch_cannot_save<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    let first = store.claim(Partition::ALL, "a", SHORT).await.expect("it is free");
    let second = store.claim_expired(Partition::ALL, "b").await;
    assert!(second > first && first > Epoch::FIRST, "{first:?}, then {second:?}");
    for stale in [Epoch::FIRST, first, second.next()] {
        let saved = store.move_in(stale, 0, 5, None).await;
        assert!(matches!(saved, Err(CheckpointError::Stale { .. })), "{stale:?}: {saved:?}");
    }
    store.move_in(second, 0, 5, None).await.expect("the owner moves it");
    assert_eq!(store.partitions().await[0].position, Position::from(5));
}

/// A lease that lasts keeps everybody else out, and partitions have their own.
pub async fn claims_are_exclusive<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", partition(0, 2)).await.expect("new");
    assert!(store.partitions().await.iter().all(PartitionState::is_free));
    store.claim(partition(0, 2), "a", LONG).await.expect("it is free");
    assert_eq!(store.claim(partition(0, 2), "b", LONG).await, None);
    store.claim(partition(1, 2), "b", LONG).await.expect("it is free");
    assert_eq!(store.claim(partition(1, 2), "a", LONG).await, None);
    let partitions = store.partitions().await;
    let owners = partitions.iter().map(|partition| partition.owner.as_ref().map(WorkerId::as_str));
    assert_eq!(owners.collect::<Vec<_>>(), [Some("a"), Some("b")]);
    for partition in partitions {
        assert!(!partition.is_free());
        let left = partition.lease_left.expect("it lasts");
        assert!(left <= LONG && left > LONG / 2, "{left:?}");
    }
    // It may have lost the answer to its first claim.
    assert!(store.claim(partition(0, 2), "a", LONG).await.is_some(), "its owner may claim again");
    assert_eq!(store.claim(partition(7, 9), "a", LONG).await, None, "there is no such partition");
}

/// A worker that is gone loses its partition when its lease is over.
pub async fn an_expired_lease_is_taken_over<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    let first = store.claim(Partition::ALL, "a", SHORT).await.expect("it is free");
    let second = store.claim_expired(Partition::ALL, "b").await;
    assert_eq!(second, first.next());
    let mut conn = store.conn().await;
    let renewed = store.store().renew(&mut conn, &name("p"), Partition::ALL, first, LONG).await;
    assert!(!renewed.expect("answered"), "the lease of an older epoch is not renewed");
    store.store().release(&mut conn, &name("p"), Partition::ALL, first).await.expect("ignored");
    assert_eq!(store.partitions().await[0].owner, Some(worker("b")));
}

/// Both ways make the lease last longer.
pub async fn a_lease_is_renewed_alone_and_with_a_checkpoint<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    let epoch = store.claim(Partition::ALL, "a", SHORT).await.expect("it is free");
    let mut conn = store.conn().await;
    let renewed = store.store().renew(&mut conn, &name("p"), Partition::ALL, epoch, LONG / 2).await;
    assert!(renewed.expect("answered"));
    drop(conn);
    let left = store.partitions().await[0].lease_left.expect("it lasts");
    assert!(left > LONG / 3 && left <= LONG / 2, "{left:?}");
    store.move_in(epoch, 0, 3, None).await.expect("it moves");
    let left = store.partitions().await[0].lease_left.expect("it lasts");
    assert!(left <= LONG / 2, "{left:?}");
    store.move_in(epoch, 3, 5, Some(LONG)).await.expect("it moves");
    let left = store.partitions().await[0].lease_left.expect("it lasts");
    assert!(left > LONG / 2, "{left:?}");
    assert_eq!(store.claim(Partition::ALL, "b", LONG).await, None);
}

/// Nobody waits for a lease that was given up.
pub async fn a_release_frees_at_once<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    let epoch = store.claim(Partition::ALL, "a", LONG).await.expect("it is free");
    let mut conn = store.conn().await;
    store.store().release(&mut conn, &name("p"), Partition::ALL, epoch).await.expect("released");
    drop(conn);
    let partition = store.partitions().await.remove(0);
    assert!(partition.is_free() && partition.owner.is_none(), "{partition:?}");
    assert!(store.claim(Partition::ALL, "b", LONG).await > Some(epoch));
}

/// A batch that takes longer than its lease is not disturbed: nobody claims what is locked, and
/// nobody waits for it either.
pub async fn a_locked_partition_is_not_claimed<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    store.claim(Partition::ALL, "a", SHORT).await.expect("it is free");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut batch = store.begin().await;
    let locked = store.store().lock_checkpoint(&mut batch, &name("p"), Partition::ALL).await;
    locked.expect("it is there");
    // A store with one writer cannot even begin the transaction.
    let other = tokio::time::timeout(Duration::from_millis(500), async {
        let mut tx = crate::EventSource::begin(&store.source).await.ok()?;
        let (p, b) = (name("p"), worker("b"));
        let claimed = store.store().claim(&mut tx, &p, Partition::ALL, &b, LONG).await;
        store.rollback(tx).await;
        claimed.ok().flatten()
    });
    assert!(!matches!(other.await, Ok(Some(_))), "it is locked");
    store.rollback(batch).await;
    store.claim_expired(Partition::ALL, "b").await;
}

/// Workers come and go by name; one that is silent is gone when its time is over.
pub async fn workers_are_there_until_they_leave_or_expire<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    let mut conn = store.conn().await;
    let (p, q) = (name("p"), name("q"));
    for (id, alive_for) in [("b", LONG), ("a", LONG), ("c", SHORT), ("a", LONG)] {
        store.store().heartbeat(&mut conn, &p, &worker(id), alive_for).await.expect("noted");
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let there = store.store().workers(&mut conn, &p).await.expect("read");
    assert_eq!(there, [worker("a"), worker("b")]);
    assert!(store.store().workers(&mut conn, &q).await.expect("read").is_empty());
    store.store().leave(&mut conn, &p, &worker("a")).await.expect("gone");
    assert_eq!(store.store().workers(&mut conn, &p).await.expect("read"), [worker("b")]);
    store.store().heartbeat(&mut conn, &p, &worker("c"), LONG).await.expect("noted");
    let there = store.store().workers(&mut conn, &p).await.expect("read");
    assert_eq!(there, [worker("b"), worker("c")]);
}

/// What an operator wants to see, until the checkpoint moves on.
pub async fn failures_are_noted_and_forgotten<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    let mut conn = store.conn().await;
    for (epoch, attempts, error) in [(Epoch::FIRST, 3, "poison"), (Epoch::FIRST.next(), 9, "no")] {
        let (p, all) = (name("p"), Partition::ALL);
        let attempt = Attempt { position: Some(1.into()), attempts, error: Some(error) };
        let noted = store.store().record_attempt(&mut conn, &p, all, epoch, attempt);
        noted.await.expect("noted, or ignored");
    }
    drop(conn);
    let partition = store.partitions().await.remove(0);
    assert_eq!((partition.attempts, partition.last_error.as_deref()), (3, Some("poison")));
    store.move_in(Epoch::FIRST, 0, 1, None).await.expect("it moves");
    let partition = store.partitions().await.remove(0);
    assert_eq!((partition.attempts, partition.last_error), (0, None));
}
