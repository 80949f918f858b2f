//! The few aggregates all writers fight over.

use anyhow::Context;
use es::StreamId;
use es::adapter::Slot;

/// How many there are: few, so that writers meet.
pub(crate) const AGGREGATES: u16 = 500;

const BOUNDED_CONTEXT: &str = "Stress";
const AGGREGATE_TYPE: &str = "Aggregate";
const ID_PREFIX: &str = "aggregate-";

/// One of the aggregates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Aggregate(u16);

impl Aggregate {
    /// Any of them.
    pub(crate) fn draw(rng: &mut fastrand::Rng) -> Self {
        Aggregate(rng.u16(0..AGGREGATES))
    }

    /// The one with this aggregate id.
    pub(crate) fn parse(aggregate_id: &str) -> anyhow::Result<Self> {
        let number = aggregate_id.strip_prefix(ID_PREFIX).and_then(|number| number.parse().ok());
        let number = number.filter(|number| *number < AGGREGATES);
        number.map(Aggregate).with_context(|| format!("nobody wrote to {aggregate_id:?}"))
    }

    /// Where it stands in an array of all of them.
    pub(crate) fn index(self) -> usize {
        self.0.into()
    }

    /// Its stream.
    pub(crate) fn stream(self) -> StreamId {
        StreamId::new(BOUNDED_CONTEXT, AGGREGATE_TYPE, self.id()).expect("the names are short")
    }

    /// The slot that decides its partition.
    pub(crate) fn slot(self) -> Slot {
        Slot::of(&self.id())
    }

    fn id(self) -> String {
        format!("{ID_PREFIX}{}", self.0)
    }
}
