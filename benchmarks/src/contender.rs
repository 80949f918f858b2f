//! What is compared: one way to keep events, reduced to the work the measures ask for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

/// How a writer appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AppendPlan {
    /// Events in one append, all of one stream.
    pub(crate) events: usize,
    /// The length of one payload, a JSON text.
    pub(crate) payload_bytes: usize,
    /// To which streams.
    pub(crate) streams: Streams,
    /// In what.
    pub(crate) scope: Scope,
}

/// To which streams a writer appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// Each append begins a stream.
    Fresh,
    /// All appends of a writer go to one stream, at the version the one before left it.
    Hot,
}

/// In what an append is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A connection of the pool, or whatever the library does by itself.
    Pool,
    /// The caller's transaction, which also inserts one row into the table `orders`.
    Transaction,
}

/// What a projection does with each event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing.
    Nothing,
    /// One upsert into `totals (aggregate_id, count)` for each event.
    UpsertEach,
    /// One upsert of many rows into `totals` for each batch.
    UpsertBatch,
}

/// How many events of each aggregate a batch has: what [`Work::UpsertBatch`] adds to `totals`.
pub(crate) fn counts<'e>(aggregate_ids: impl Iterator<Item = &'e str>) -> Vec<(String, i64)> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for id in aggregate_ids {
        *counts.entry(id).or_default() += 1;
    }
    counts.into_iter().map(|(id, count)| (id.to_owned(), count)).collect()
}

/// An event that has come to a handler.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// The number its payload carries, see [`payload`].
    pub(crate) number: u64,
    /// When.
    pub(crate) at: Instant,
}

/// One way to keep events: a library, used as its documentation says, or the plainest statements
/// of the database. It has a database of its own on the server that all share.
///
/// A method gives `None` where the contender has no such thing.
#[async_trait]
pub(crate) trait Contender: Send + Sync {
    /// What it is called in tables.
    fn name(&self) -> &'static str;

    /// The table its events are inserted into.
    fn events_table(&self) -> &'static str;

    /// Drops whatever tables are there and makes its own, with `orders (id text primary key, note
    /// text)` and `totals (aggregate_id text primary key, count bigint not null)` beside them.
    async fn prepare(&self) -> anyhow::Result<()>;

    /// A writer; each has its own connection or shares the contender's pool, and its own streams.
    async fn writer(
        &self,
        index: usize,
        plan: AppendPlan,
    ) -> anyhow::Result<Option<Box<dyn Writer>>>;

    /// Stores `streams` streams of `length` events with the plan's payload, as fast as it can;
    /// stream `i` is called `stream-{i}` and numbered from `i * length`.
    async fn fill(
        &self,
        streams: Range<usize>,
        length: usize,
        payload_bytes: usize,
    ) -> anyhow::Result<()>;

    /// Lets the database gather its planner's statistics, as is advised after much was stored.
    async fn analyze(&self) -> anyhow::Result<()>;

    /// Reads one stream that `fill` stored, to its own event values; gives how many there were.
    async fn read_stream(&self, index: usize) -> anyhow::Result<Option<usize>>;

    /// Reads the whole log in order, in batches as large as it likes; gives how many there were.
    async fn read_log(&self) -> anyhow::Result<Option<usize>>;

    /// Runs a projection from the start of the log through `events` events and gives the time from
    /// its start until the last is handled and committed.
    async fn project(&self, work: Work, events: usize) -> anyhow::Result<Option<Duration>>;

    /// Runs a reader or projection without effects that tells of each event it is given, until
    /// `stop`; `false` if there is no such thing.
    async fn follow(
        &self,
        seen: UnboundedSender<Seen>,
        stop: CancellationToken,
    ) -> anyhow::Result<bool>;
}

/// One writer of a contender.
#[async_trait]
pub(crate) trait Writer: Send {
    /// One append as planned, committed; its events carry the numbers from `first_number` on.
    async fn append(&mut self, first_number: u64) -> anyhow::Result<()>;
}

/// A note that fills a payload `{"n":…,"note":"…"}` up to about `bytes` bytes.
pub(crate) fn note(bytes: usize) -> String {
    const WORDS: &str = "the quick brown fox jumps over the lazy dog and runs away ";
    WORDS.chars().cycle().take(bytes.saturating_sub(r#"{"n":1000000,"note":""}"#.len())).collect()
}

/// The payload of event `number`, a JSON text.
pub(crate) fn payload(number: u64, note: &str) -> String {
    format!(r#"{{"n":{number},"note":"{note}"}}"#)
}
