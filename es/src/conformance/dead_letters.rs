//! Clauses about parked events.

use super::Harness;
use super::checkpoints::name;
use super::fixture::{Fixture, event, thing};
use crate::checkpoint::CheckpointStore;
use crate::partition::Partition;
use crate::partition_count::PartitionCount;
use crate::position::Position;
use crate::projection_state::{DeadLetter, PartitionState};
use crate::projection_store::ProjectionStore;
use crate::stream_id::StreamId;

impl<H: Harness> Fixture<H> {
    /// Appends to the streams in turn, and gives each event as a dead letter.
    async fn letters(&self, streams: &[&str]) -> Vec<DeadLetter> {
        for (number, stream) in (0..).zip(streams) {
            self.append(&thing(stream), &[event(number)]).await;
        }
        self.log().await.iter().map(DeadLetter::queued).collect()
    }

    async fn put(&self, letters: &[DeadLetter]) {
        let mut tx = self.begin().await;
        self.store().put_dead_letters(&mut tx, &name("p"), letters).await.expect("parked");
        self.commit(tx).await;
    }

    async fn dead(&self, after: Position, count_max: u32) -> Vec<DeadLetter> {
        let mut conn = self.conn().await;
        let letters = self.store().dead_letters(&mut conn, &name("p"), after, count_max).await;
        letters.expect("the dead letters are read")
    }

    async fn counts(&self, projection: &str) -> Vec<(u16, u64)> {
        let mut conn = self.conn().await;
        let counts = self.store().dead_letter_counts(&mut conn, &name(projection)).await;
        counts.expect("the dead letters are counted")
    }

    async fn queue(&self, stream: &StreamId) -> Vec<DeadLetter> {
        let mut conn = self.conn().await;
        let letters = self.store().dead_letter_queue(&mut conn, &name("p"), stream, 100).await;
        letters.expect("the queue is read")
    }
}

fn positions(letters: &[DeadLetter]) -> Vec<Position> {
    letters.iter().map(|letter| letter.position).collect()
}

/// By stream and altogether, whatever the order they were parked in; and every field is kept.
pub async fn dead_letters_keep_their_order<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    let mut letters = store.letters(&["a", "b", "a", "A", "a", "b"]).await;
    letters[0].attempts = 4;
    letters[0].error = Some("it is poison: \u{1f4a9} 'quoted'".to_owned());
    let mut reversed = letters.clone();
    reversed.reverse();
    store.put(&reversed).await;
    assert_eq!(store.dead(Position::START, 100).await, letters);
    assert_eq!(store.dead(letters[1].position, 2).await, letters[2..4]);
    let of_a: Vec<DeadLetter> = [0, 2, 4].map(|index: usize| letters[index].clone()).to_vec();
    assert_eq!(store.queue(&thing("a")).await, of_a);
    let namesake = StreamId::new("Test", "Other", "a").expect("a valid name");
    assert!(store.queue(&namesake).await.is_empty());

    let mut conn = store.conn().await;
    let parked = store.store().parked_streams(&mut conn, &name("p"), &["a", "x", "b"]).await;
    let mut parked = parked.expect("the streams are read");
    parked.sort_unstable();
    assert_eq!(parked, [thing("a"), thing("b")]);
    let none = store.store().parked_streams(&mut conn, &name("q"), &["a"]).await;
    assert!(none.expect("read").is_empty());
    drop(conn);

    letters[0].attempts = 5;
    letters[0].error = Some("still".to_owned());
    store.put(&letters[..1]).await;
    assert_eq!(store.dead(Position::START, 1).await, letters[..1], "the row is changed");
}

/// Each partition counts its own, and a locked checkpoint says that there are some.
pub async fn dead_letters_are_counted_by_partition<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let first = Partition::new(0, PartitionCount::of(3)).expect("a partition");
    store.register("p", first).await.expect("new");
    let letters = store.letters(&["a", "b", "c", "d", "e", "a"]).await;
    for has_dead_letters in [false, true] {
        let mut tx = store.begin().await;
        let locked = store.store().lock_checkpoint(&mut tx, &name("p"), first).await;
        assert_eq!(locked.expect("it is there").has_dead_letters, has_dead_letters);
        store.rollback(tx).await;
        if !has_dead_letters {
            store.put(&letters).await;
        }
    }
    let of = |state: &PartitionState| {
        let mine = letters.iter().filter(|letter| state.partition.contains(letter.stream.slot()));
        (state.partition.index(), mine.count() as u64)
    };
    let mut expected: Vec<(u16, u64)> = store.partitions().await.iter().map(of).collect();
    expected.retain(|(_, count)| *count > 0);
    assert_eq!(store.counts("p").await, expected);
    assert!(store.counts("q").await.is_empty(), "another projection's");

    let one_stream: Vec<Position> =
        positions(&letters).into_iter().filter(|one| *one != letters[3].position).collect();
    let mut tx = store.begin().await;
    store.store().remove_dead_letters(&mut tx, &name("p"), &one_stream).await.expect("removed");
    store.commit(tx).await;
    let index = letters[3].stream.slot().get() % first.total().get();
    assert_eq!(store.counts("p").await, [(index, 1)], "the others have none");
}

/// Some, or all after a position.
pub async fn dead_letters_are_removed_as_told<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    let letters = store.letters(&["a", "b", "a", "b", "a"]).await;
    let all = positions(&letters);
    store.put(&letters).await;
    let mut tx = store.begin().await;
    let some = [all[1], all[2], Position::MAX];
    store.store().remove_dead_letters(&mut tx, &name("p"), &some).await.expect("removed");
    store.store().remove_dead_letters(&mut tx, &name("p"), &[]).await.expect("nothing to do");
    store.commit(tx).await;
    assert_eq!(positions(&store.dead(Position::START, 9).await), [all[0], all[3], all[4]]);
    let mut tx = store.begin().await;
    let removed = store.store().remove_dead_letters_after(&mut tx, &name("p"), all[3]).await;
    removed.expect("removed");
    store.commit(tx).await;
    assert_eq!(positions(&store.dead(Position::START, 9).await), [all[0], all[3]]);
}

/// Parking and the checkpoint that moves past the event are one transaction.
pub async fn a_dead_letter_rolls_back_with_its_transaction<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    store.register("p", Partition::ALL).await.expect("new");
    let letters = store.letters(&["a", "a"]).await;
    let mut tx = store.begin().await;
    store.store().put_dead_letters(&mut tx, &name("p"), &letters).await.expect("parked");
    store.rollback(tx).await;
    assert!(store.dead(Position::START, 9).await.is_empty());
}
