//! Clauses about what an operator changes.

use std::time::Duration;

use chrono::TimeDelta;

use super::Harness;
use super::checkpoints::name;
use super::fixture::{Fixture, event, thing};
use super::leases::worker;
use crate::checkpoint::{CheckpointError, CheckpointMove, CheckpointStore, Epoch};
use crate::event_log::EventLog;
use crate::partition::Partition;
use crate::partition_count::PartitionCount;
use crate::position::Position;
use crate::projection_state::{DeadLetter, PartitionSeed, ProjectionState};
use crate::projection_store::ProjectionStore;

const LONG: Duration = Duration::from_mins(10);

fn seed(position: u32, epoch: Epoch) -> PartitionSeed {
    let position = Position::from(position);
    PartitionSeed { position, epoch, replay_until: Position::START, stop_at: None }
}

/// A paused projection is nobody's.
pub async fn a_paused_projection_is_not_claimed<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    for (is_paused, claimed) in [(true, false), (false, true)] {
        let mut tx = store.begin().await;
        let state = store.store().lock_projection(&mut tx, &name("p")).await.expect("locked");
        let state = ProjectionState { is_paused, ..state.expect("it is registered") };
        store.store().save_projection(&mut tx, &state).await.expect("saved");
        store.commit(tx).await;
        let mut tx = store.begin().await;
        let locked = store.store().lock_checkpoint(&mut tx, &name("p"), Partition::ALL).await;
        assert_eq!(locked.expect("it is there").is_paused, is_paused);
        let worker = worker("a");
        let claim = store.store().claim(&mut tx, &name("p"), Partition::ALL, &worker, LONG).await;
        assert_eq!(claim.expect("answered").is_some(), claimed);
        store.rollback(tx).await;
    }
}

/// What is set is read back, and projections are listed by name.
pub async fn settings_of_a_projection_are_kept<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("q", Partition::ALL).await.expect("new");
    store
        .register("p", Partition::new(0, PartitionCount::of(3)).expect("a partition"))
        .await
        .expect("new");
    let changed = ProjectionState {
        name: name("p"),
        partition_total: PartitionCount::of(5),
        is_paused: true,
        rescale_to: Some(PartitionCount::of(2)),
    };
    let mut tx = store.begin().await;
    assert_eq!(store.store().lock_projection(&mut tx, &name("x")).await.expect("read"), None);
    let locked = store.store().lock_projection(&mut tx, &name("p")).await.expect("read");
    assert_eq!(locked.expect("it is registered").partition_total.get(), 3);
    store.store().save_projection(&mut tx, &changed).await.expect("saved");
    store.commit(tx).await;
    let mut conn = store.conn().await;
    let all = store.store().projections(&mut conn).await.expect("read");
    let untouched = ProjectionState {
        name: name("q"),
        partition_total: PartitionCount::ONE,
        is_paused: false,
        rescale_to: None,
    };
    assert_eq!(all, [changed, untouched]);
}

/// Rows are changed, added and removed; owners are forgotten, other projections are not.
pub async fn partitions_are_rewritten_as_told<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store
        .register("p", Partition::new(0, PartitionCount::of(2)).expect("a partition"))
        .await
        .expect("new");
    store
        .register("q", Partition::new(0, PartitionCount::of(2)).expect("a partition"))
        .await
        .expect("new");
    let (mut epoch, mut count) = (Epoch::FIRST, 2);
    for positions in [vec![4, 7, 7, 7], vec![9]] {
        let total = u16::try_from(positions.len()).expect("few");
        let mut tx = store.begin().await;
        let of = Partition::new(0, PartitionCount::of(2)).expect("a partition");
        store.store().claim(&mut tx, &name("p"), of, &worker("a"), LONG).await.expect("answered");
        let state = store.store().lock_projection(&mut tx, &name("p")).await.expect("locked");
        let old = store.store().lock_partitions(&mut tx, &name("p")).await.expect("locked");
        assert_eq!(old.len(), count, "whatever limits the session has");
        count = positions.len();
        epoch = old.iter().map(|partition| partition.epoch).max().expect("some").next();
        let seeds: Vec<PartitionSeed> = positions.iter().map(|at| seed(*at, epoch)).collect();
        store.store().rewrite_partitions(&mut tx, &name("p"), &seeds).await.expect("rewritten");
        let state = ProjectionState {
            partition_total: PartitionCount::of(total),
            ..state.expect("registered")
        };
        store.store().save_projection(&mut tx, &state).await.expect("saved");
        store.commit(tx).await;
        let partitions = store.partitions().await;
        assert_eq!(partitions.len(), seeds.len());
        for (partition, seed) in partitions.iter().zip(&seeds) {
            assert_eq!((partition.position, partition.epoch), (seed.position, seed.epoch));
            assert!(partition.is_free() && partition.owner.is_none(), "{partition:?}");
        }
    }
    assert!(epoch > Epoch::FIRST);
    let mut conn = store.conn().await;
    let other = store.store().partitions(&mut conn, &name("q")).await.expect("read");
    assert_eq!(other.len(), 2);
    assert!(other.iter().all(|partition| partition.epoch == Epoch::FIRST));
}

/// A barrier holds the checkpoint, and everything that was set is read back with it.
pub async fn a_checkpoint_stops_at_its_barrier<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    let epoch = Epoch::FIRST.next();
    let (replay_until, stop_at) = (Position::from(11), Some(Position::from(9)));
    let seed = PartitionSeed { replay_until, stop_at, ..seed(4, epoch) };
    let mut tx = store.begin().await;
    store.store().rewrite_partitions(&mut tx, &name("p"), &[seed]).await.expect("rewritten");
    let locked = store.store().lock_checkpoint(&mut tx, &name("p"), Partition::ALL).await;
    let locked = locked.expect("it is there");
    assert_eq!((locked.position, locked.epoch), (Position::from(4), epoch));
    assert_eq!((locked.replay_until, locked.stop_at), (replay_until, stop_at));
    let to = |to: u32| CheckpointMove {
        epoch,
        from: Position::from(4),
        to: Position::from(to),
        lease: None,
    };
    let beyond = store.store().save_checkpoint(&mut tx, &name("p"), Partition::ALL, to(10)).await;
    assert!(matches!(beyond, Err(CheckpointError::Stale { .. })), "{beyond:?}");
    let upto = store.store().save_checkpoint(&mut tx, &name("p"), Partition::ALL, to(9)).await;
    upto.expect("it reaches the barrier");
    store.commit(tx).await;
}

/// A projection of the same name begins again.
pub async fn a_deleted_projection_is_gone<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store
        .register("p", Partition::new(0, PartitionCount::of(3)).expect("a partition"))
        .await
        .expect("new");
    store.append(&thing("a"), &[event(1)]).await;
    let letter = DeadLetter::failed(&store.log().await[0], 2, "poison");
    let mut tx = store.begin().await;
    store.store().heartbeat(&mut tx, &name("p"), &worker("a"), LONG).await.expect("noted");
    store.store().put_dead_letters(&mut tx, &name("p"), &[letter]).await.expect("parked");
    store.commit(tx).await;
    let mut tx = store.begin().await;
    store.store().delete_projection(&mut tx, &name("p")).await.expect("deleted");
    store.commit(tx).await;
    assert!(store.partitions().await.is_empty());
    let mut conn = store.conn().await;
    assert!(store.store().projections(&mut conn).await.expect("read").is_empty());
    assert!(store.store().workers(&mut conn, &name("p")).await.expect("read").is_empty());
    let letters = store.store().dead_letters(&mut conn, &name("p"), Position::START, 9).await;
    assert!(letters.expect("read").is_empty());
    drop(conn);
    store.register("p", Partition::ALL).await.expect("new again");
}

/// Whatever the writers' clocks say, a time of the database's clock leads to a position.
pub async fn a_position_is_found_by_its_time<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    for hours in [10, -30, 20, -40] {
        let event = event(hours);
        let created_at = event.created_at() + TimeDelta::hours(hours);
        store.append(&thing("a"), &[event.with_created_at(created_at)]).await;
    }
    let log = store.log().await;
    let recorded: Vec<_> =
        log.iter().map(|event| event.recorded_at().expect("a read event has it")).collect();
    let (first, last) = (recorded[0], recorded[3]);
    assert!(last - first < TimeDelta::hours(1), "{recorded:?}: it is no writer's clock");
    let day = TimeDelta::days(1);
    let times = recorded.iter().copied().chain([first - day, last + day]);
    for time in times {
        let mut conn = store.conn().await;
        let found = store.store().first_position_since(&mut conn, time).await.expect("found");
        let expected = recorded.iter().position(|at| *at >= time);
        assert_eq!(found, expected.map(|index| log[index].position()), "{time} of {recorded:?}");
    }
}
