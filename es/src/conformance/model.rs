//! The model clause: random operations on the store and on the in-memory store must agree.

use fastrand::Rng;
use uuid::Uuid;

use super::fixture::{Fixture, Tx, assert_well_formed, event, limit, seed, thing};
use super::{Harness, MemoryHarness};
use crate::append_error::AppendError;
use crate::append_result::AppendResult;
use crate::event::Event;
use crate::filter::EventFilter;
use crate::partition::Partition;
use crate::partition_count::PartitionCount;
use crate::persisted_event::PersistedEvent;
use crate::position::Position;
use crate::store::EventStore;
use crate::stream_id::StreamId;
use crate::version::{ExpectedVersion, Version, VersionRange};

const TRANSACTIONS: usize = 60;
const OPERATIONS_PER_TRANSACTION_MAX: usize = 8;
const STREAMS: usize = 5;

/// Runs random transactions of random operations against the store and the in-memory store, and
/// compares every answer. Positions may differ (a database may burn some), so events are
/// compared by id, stream, version and content, and in the order of their positions.
pub async fn random_operations_agree_with_the_memory_store<H: Harness>(harness: H) {
    let mut random = Rng::with_seed(seed());
    let pair =
        Pair { subject: Fixture::new(harness).await, model: Fixture::new(MemoryHarness).await };
    let mut known = Vec::new();
    for number in 0..TRANSACTIONS {
        pair.run_transaction(&mut random, &mut known).await;
        pair.compare_log(&mut random, number % 10 == 0).await;
    }
    let log = pair.subject.log().await;
    assert_well_formed(&log);
    assert!(log.len() > TRANSACTIONS / 2, "the run appended something: {}", log.len());
}

struct Pair<H: Harness> {
    subject: Fixture<H>,
    model: Fixture<MemoryHarness>,
}

/// One open transaction on both sides.
struct PairTx<H: Harness> {
    subject: Tx<H>,
    model: Tx<MemoryHarness>,
}

impl<H: Harness> Pair<H> {
    async fn run_transaction(&self, random: &mut Rng, known: &mut Vec<Event>) {
        let mut tx =
            PairTx { subject: self.subject.begin().await, model: self.model.begin().await };
        let mut has_savepoint = false;
        for _ in 0..random.usize(1..=OPERATIONS_PER_TRANSACTION_MAX) {
            match random.u8(..10) {
                0..5 => self.append(random, &mut tx, known).await,
                5..7 => self.read_stream(random, &mut tx).await,
                7 => self.write_row(random, &mut tx).await,
                8 if has_savepoint => {
                    let subject = &self.subject.harness;
                    subject.rollback_to_savepoint(&mut tx.subject).await.expect("a savepoint");
                    tx.model.rollback_to_savepoint().expect("a savepoint");
                }
                _ => {
                    has_savepoint = true;
                    let subject = &self.subject.harness;
                    subject.savepoint(&mut tx.subject).await.expect("a savepoint");
                    tx.model.savepoint().expect("a savepoint");
                }
            }
        }
        if random.u8(..4) > 0 {
            self.subject.commit(tx.subject).await;
            self.model.commit(tx.model).await;
        } else {
            self.subject.rollback(tx.subject).await;
            self.model.rollback(tx.model).await;
        }
    }

    async fn append(&self, random: &mut Rng, tx: &mut PairTx<H>, known: &mut Vec<Event>) {
        let stream = random_stream(random);
        let actual = self.model.store().stream_version(&mut tx.model, &stream).await;
        let actual = u32::try_from(actual.expect("a version").get()).expect("a short stream");
        let expected = match random.u8(..8) {
            0..2 => ExpectedVersion::Any,
            2 => ExpectedVersion::NoStream,
            3 => ExpectedVersion::exact(random.u32(0..=actual + 2)),
            _ => ExpectedVersion::exact(actual),
        };
        let events = random_events(random, known);
        let subject = self.subject.append_in(&mut tx.subject, &stream, expected, &events).await;
        let model = self.model.append_in(&mut tx.model, &stream, expected, &events).await;
        let (subject, model) = (outcome(subject), outcome(model));
        assert_eq!(subject, model, "{} events to {stream} expecting {expected}", events.len());
        known.extend(events);
    }

    async fn read_stream(&self, random: &mut Rng, tx: &mut PairTx<H>) {
        let stream = random_stream(random);
        let version = |random: &mut Rng| Version::from(random.u32(0..12));
        let range: VersionRange = match random.u8(..4) {
            0 => (..).into(),
            1 => (version(random)..).into(),
            2 => (..=version(random)).into(),
            _ => (version(random)..=version(random)).into(),
        };
        let subject = self.subject.store().read_stream(&mut tx.subject, &stream, range).await;
        let model = self.model.store().read_stream(&mut tx.model, &stream, range).await;
        assert_eq!(
            contents(subject.expect("a read").events()),
            contents(model.expect("a read").events()),
            "{range:?} of {stream}"
        );
    }

    async fn write_row(&self, random: &mut Rng, tx: &mut PairTx<H>) {
        let value = random.i64(..);
        let subject = &self.subject.harness;
        subject.insert_row(&mut tx.subject, "rows", value).await.expect("a row");
        tx.model.insert_row("rows", value).expect("a row");
        assert_eq!(
            subject.rows(&mut tx.subject, "rows").await.expect("rows"),
            tx.model.rows("rows").expect("rows")
        );
    }

    /// Compares the committed log: now and then whole, else one filtered read from some event on.
    async fn compare_log(&self, random: &mut Rng, whole: bool) {
        let (subject, model) = (self.subject.log().await, self.model.log().await);
        if whole {
            assert_eq!(contents(&subject), contents(&model));
        }
        assert_eq!(subject.len(), model.len());
        let start = random.usize(0..=model.len());
        let after = |log: &[PersistedEvent]| {
            start.checked_sub(1).map_or(Position::START, |last| log[last].position())
        };
        let filter = random_filter(random);
        let limit = limit(random.u32(1..20));
        let subject = self.subject.read(after(&subject), &filter, limit).await;
        let model = self.model.read(after(&model), &filter, limit).await;
        // The dense run of an unfiltered read ends at a hole, and only the model has this one.
        let common = subject.events.len().min(model.events.len());
        let may_stop_early = filter.is_unfiltered() && common > 0;
        assert!(may_stop_early || subject.events.len() == model.events.len(), "{filter:?}");
        assert_eq!(
            contents(&subject.events[..common]),
            contents(&model.events[..common]),
            "{filter:?}"
        );
    }
}

fn random_stream(random: &mut Rng) -> StreamId {
    thing(&format!("stream-{}", random.usize(..STREAMS)))
}

/// New events mostly; now and then some that were tried before.
fn random_events(random: &mut Rng, known: &[Event]) -> Vec<Event> {
    let count = random.usize(1..=4);
    if !known.is_empty() && random.u8(..6) == 0 {
        let start = random.usize(..known.len());
        let mut events: Vec<Event> = known[start..].iter().take(count).cloned().collect();
        if random.bool() {
            events.push(event(random.i64(..)));
        }
        events.sort_by_key(Event::id);
        events.dedup_by_key(|event| event.id());
        return events;
    }
    let kind = ["Opened", "Changed", "Closed"];
    let make =
        |_| Event::json(kind[random.usize(..kind.len())], &random.i64(..)).expect("a valid event");
    (0..count).map(make).collect()
}

fn random_filter(random: &mut Rng) -> EventFilter {
    let filter = EventFilter::default();
    let filter = match random.u8(..4) {
        0 => filter.with_event_types(["Opened"]),
        1 => filter.with_event_types(["Opened", "Closed"]).with_aggregate_types(["Thing"]),
        2 => filter.with_bounded_contexts(["Elsewhere"]),
        _ => filter,
    };
    match random.u16(..3) {
        0 => filter,
        total => {
            let count = PartitionCount::of(total + 1);
            let partition = Partition::new(random.u16(..=total), count);
            filter.with_partition(partition.expect("the index is below the total"))
        }
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Written(Vec<Content>),
    Replayed(Vec<Content>),
    Conflict(Version),
    Duplicate,
}

fn outcome(result: Result<AppendResult, AppendError>) -> Outcome {
    match result {
        Ok(result) if result.is_replay() => Outcome::Replayed(contents(result.events())),
        Ok(result) => Outcome::Written(contents(result.events())),
        Err(AppendError::Conflict { actual, .. }) => Outcome::Conflict(actual),
        Err(AppendError::DuplicateEventId { .. }) => Outcome::Duplicate,
        Err(other) => panic!("the append failed: {other:?}"),
    }
}

type Content = (Uuid, StreamId, Version, String, Vec<u8>);

fn contents(events: &[PersistedEvent]) -> Vec<Content> {
    let content = |event: &PersistedEvent| {
        let kind = event.event_type().to_owned();
        (event.id(), event.stream().clone(), event.version(), kind, event.payload().to_vec())
    };
    events.iter().map(content).collect()
}
