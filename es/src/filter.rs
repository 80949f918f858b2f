//! Which events a reader wants.

use std::collections::BTreeSet;

use crate::error::StoreError;
use crate::identifier::check_identifier;
use crate::partition::Partition;
use crate::persisted_event::PersistedEvent;

/// Which events a reader of the log wants; the default wants all.
///
/// The conditions are applied by the database, so what is not wanted is not shipped. Every
/// condition that was set must hold; a set of names holds if it contains the event's. Names obey
/// the same rule as the parts of a [`StreamId`](crate::stream_id::StreamId): one that no event can
/// have is an error of the read, [`StoreError::InvalidFilter`].
///
/// ```
/// use es::{EventFilter, Partition, PartitionCount};
///
/// let orders = EventFilter::default()
///     .with_bounded_contexts(["Sales"])
///     .with_aggregate_types(["Order", "Basket"])
///     .with_partition(Partition::new(0, PartitionCount::of(4))?);
/// assert!(!orders.is_unfiltered());
/// # Ok::<(), es::InvalidPartition>(())
/// ```
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct EventFilter {
    bounded_contexts: BTreeSet<String>,
    aggregate_types: BTreeSet<String>,
    event_types: BTreeSet<String>,
    partition: Partition,
}

impl EventFilter {
    /// Wants only events of these bounded contexts; none given means all.
    #[must_use]
    pub fn with_bounded_contexts<S: Into<String>>(
        self,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        EventFilter { bounded_contexts: names.into_iter().map(S::into).collect(), ..self }
    }

    /// Wants only events of these aggregate types; none given means all.
    #[must_use]
    pub fn with_aggregate_types<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        EventFilter { aggregate_types: names.into_iter().map(S::into).collect(), ..self }
    }

    /// Wants only events of these types; none given means all.
    #[must_use]
    pub fn with_event_types<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        EventFilter { event_types: names.into_iter().map(S::into).collect(), ..self }
    }

    /// Wants only events of the streams in this partition.
    #[must_use]
    pub fn with_partition(self, partition: Partition) -> Self {
        EventFilter { partition, ..self }
    }

    /// The bounded contexts wanted; `None` for all.
    pub fn bounded_contexts(&self) -> Option<&BTreeSet<String>> {
        Some(&self.bounded_contexts).filter(|names| !names.is_empty())
    }

    /// The aggregate types wanted; `None` for all.
    pub fn aggregate_types(&self) -> Option<&BTreeSet<String>> {
        Some(&self.aggregate_types).filter(|names| !names.is_empty())
    }

    /// The event types wanted; `None` for all.
    pub fn event_types(&self) -> Option<&BTreeSet<String>> {
        Some(&self.event_types).filter(|names| !names.is_empty())
    }

    /// The partition wanted.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Whether every event is wanted.
    pub fn is_unfiltered(&self) -> bool {
        *self == EventFilter::default()
    }

    /// Checks that an event can have each of the names.
    ///
    /// # Errors
    ///
    /// [`StoreError::InvalidFilter`] with the name that cannot be,
    /// and why.
    pub fn check(&self) -> Result<(), StoreError> {
        let names = [
            ("bounded context", &self.bounded_contexts),
            ("aggregate type", &self.aggregate_types),
            ("event type", &self.event_types),
        ];
        let mut all =
            names.iter().flat_map(|(field, names)| names.iter().map(|name| (*field, name)));
        all.try_for_each(|(field, name)| check_identifier(field, name))
            .map_err(|source| StoreError::InvalidFilter { source })
    }

    /// Whether `event` is wanted: what an adapter's SQL must agree with.
    pub fn matches(&self, event: &PersistedEvent) -> bool {
        let wanted = |names: Option<&BTreeSet<String>>, name: &str| {
            names.is_none_or(|names| names.contains(name))
        };
        wanted(self.bounded_contexts(), event.bounded_context())
            && wanted(self.aggregate_types(), event.aggregate_type())
            && wanted(self.event_types(), event.event_type())
            && self.partition.contains(event.slot())
    }
}
