//! Clauses about numbers that pass through JSON: in events, and in what adapters send as JSON.

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::Harness;
use super::checkpoints::name;
use super::fixture::{Fixture, seed, thing};
use crate::checkpoint::{CheckpointStore, Epoch};
use crate::event::Event;
use crate::partition::Partition;
use crate::partition_count::PartitionCount;
use crate::position::Position;
use crate::projection_state::{DeadLetter, PartitionSeed};
use crate::projection_store::ProjectionStore;

/// How many events with random numbers a clause appends.
const EVENTS: usize = 200;

/// What a payload may hold in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Numbers {
    floats: Vec<f64>,
    small_floats: Vec<f32>,
    integers: Vec<i64>,
    naturals: Vec<u64>,
    wide: Vec<i128>,
    nested: Value,
}

impl Numbers {
    fn extreme() -> Self {
        let rounded_by_some =
            [117.633_311_394_000_17, 0.921_568_632_125_854_5, 10_587.436_593_658_975];
        let extremes = [0.0, -0.0, 5e-324, f64::MIN_POSITIVE, f64::MAX, f64::MIN, f64::EPSILON];
        let around = [9_007_199_254_740_993.0, 1e15, 1e16, 1e22, 1e23, 1.0, 1.0 / 3.0];
        Numbers {
            floats: [&rounded_by_some[..], &extremes, &around].concat(),
            small_floats: vec![0.1, f32::MAX, f32::MIN_POSITIVE, 1e-45, -0.0],
            integers: vec![0, -1, i64::MIN, i64::MAX, (1 << 53) + 1, -(1 << 53) - 1],
            naturals: vec![u64::MAX, 1 << 63, (1 << 53) + 1],
            wide: vec![i128::from(u64::MAX) + 1, i128::MIN, i128::MAX],
            nested: serde_json::json!({ "a": [u64::MAX, i64::MIN, 0.1, -0.0, { "b": 1e300 }] }),
        }
    }

    fn random(rng: &mut Rng) -> Self {
        Numbers {
            floats: (0..20).map(|_| float(rng)).collect(),
            small_floats: (0..5).map(|_| rng.f32()).collect(),
            integers: (0..5).map(|_| rng.i64(..)).collect(),
            naturals: (0..5).map(|_| rng.u64(..)).collect(),
            wide: (0..2).map(|_| rng.i128(..)).collect(),
            nested: value(rng, 4),
        }
    }

    /// `PartialEq` takes the two zeros for the same.
    fn bits(&self) -> Vec<u64> {
        let small = self.small_floats.iter().map(|float| u64::from(float.to_bits()));
        self.floats.iter().map(|float| float.to_bits()).chain(small).collect()
    }
}

/// Half of them any bit pattern, half of them as measurements are.
fn float(rng: &mut Rng) -> f64 {
    let float = if rng.bool() { f64::from_bits(rng.u64(..)) } else { rng.f64() * 1000.0 };
    if float.is_finite() { float } else { 0.5 }
}

fn value(rng: &mut Rng, depth: usize) -> Value {
    match rng.u8(if depth == 0 { 3 } else { 0 }..7) {
        0 | 1 => (0..3).map(|_| value(rng, depth - 1)).collect(),
        2 => (0..3)
            .map(|key| (format!("k{key}"), value(rng, depth - 1)))
            .collect::<Map<_, _>>()
            .into(),
        3 => Number::from_f64(float(rng)).map_or(Value::Null, Value::Number),
        4 => rng.i64(..).into(),
        5 => rng.u64(..).into(),
        _ => Value::Null,
    }
}

/// A number of a payload or of metadata is read back as it was written, floats bit for bit.
pub async fn numbers_in_json_survive<H: Harness>(harness: H) {
    let mut rng = Rng::with_seed(seed());
    let store = Fixture::new(harness).await;
    let mut written = vec![Numbers::extreme()];
    written.extend((1..EVENTS).map(|_| Numbers::random(&mut rng)));
    let event =
        |numbers| Event::json("Measured", numbers).and_then(|event| event.with_metadata(numbers));
    let events: Result<Vec<_>, _> = written.iter().map(event).collect();
    store.append(&thing("a"), &events.expect("valid events")).await;
    for read in [store.log().await, store.stream(&thing("a")).await.into_events()] {
        assert_eq!(read.len(), EVENTS);
        for (read, written) in read.iter().zip(&written) {
            let payload: Numbers = read.payload_json().expect("it decodes");
            let metadata: Option<Numbers> = read.metadata_json().expect("it decodes");
            for read in [payload, metadata.expect("it is there")] {
                assert_eq!(read, *written);
                assert_eq!(read.bits(), written.bits());
                assert_eq!(read.nested.to_string(), written.nested.to_string());
            }
        }
    }
}

/// Positions and epochs that a double cannot hold are kept as they are, however they are sent.
pub async fn numbers_beyond_a_double_are_kept<H: Harness>(harness: H) {
    let store = Fixture::new(harness).await;
    let two = |index| Partition::new(index, PartitionCount::of(2)).expect("a partition");
    store.register("p", two(0)).await.expect("new");
    let odd = (1_i64 << 53) + 1;
    let position = |number: i64| Position::try_from(number).expect("not negative");
    let seed = |number: i64| PartitionSeed {
        position: position(number),
        epoch: Epoch::try_from(number).expect("not negative"),
        replay_until: position(number),
        stop_at: Some(position(number)),
    };
    let numbers = [odd, i64::MAX];
    let seeds = numbers.map(seed);
    let letter = |number: i64| DeadLetter {
        position: position(number),
        stream: thing("a"),
        attempts: u32::try_from(i32::MAX).expect("not negative"),
        error: None,
        parked_at: "9999-12-31T23:59:59.999999Z".parse().expect("a time"),
    };
    let letters = numbers.map(letter).to_vec();
    let mut tx = store.begin().await;
    store.store().rewrite_partitions(&mut tx, &name("p"), &seeds).await.expect("rewritten");
    store.store().put_dead_letters(&mut tx, &name("p"), &letters).await.expect("parked");
    store.commit(tx).await;

    let mut tx = store.begin().await;
    for (index, seed) in (0..).zip(seeds) {
        let locked = store.store().lock_checkpoint(&mut tx, &name("p"), two(index)).await;
        let found = locked.expect("it is there");
        assert_eq!((found.position, found.epoch), (seed.position, seed.epoch));
        assert_eq!((found.replay_until, found.stop_at), (seed.replay_until, seed.stop_at));
    }
    let read = store.store().dead_letters(&mut tx, &name("p"), Position::START, 10).await;
    assert_eq!(read.expect("read"), letters);
    let near = [position(odd - 1), position(i64::MAX - 1)];
    let removed = store.store().remove_dead_letters(&mut tx, &name("p"), &near).await;
    removed.expect("there is none at these");
    let read = store.store().dead_letters(&mut tx, &name("p"), Position::START, 10).await;
    assert_eq!(read.expect("read"), letters);
    let all = numbers.map(position);
    store.store().remove_dead_letters(&mut tx, &name("p"), &all).await.expect("removed");
    let read = store.store().dead_letters(&mut tx, &name("p"), Position::START, 10).await;
    assert_eq!(read.expect("read"), []);
    store.rollback(tx).await;
}
