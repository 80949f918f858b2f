//! What a reader saw of an event.

use anyhow::Context;
use es::PersistedEvent;
use uuid::Uuid;

use crate::aggregate::Aggregate;

/// The events a reader saw, in the order it saw them.
pub(crate) type Trail = Vec<Sighting>;

/// An event as this program's own SQL reads it: id, aggregate id, version, position.
pub(crate) type SightingRow = (Uuid, String, i64, i64);

/// What a reader saw of an event, or what an append returned of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) event_id: Uuid,
    pub(crate) aggregate: Aggregate,
    pub(crate) version: i64,
    pub(crate) position: i64,
}

impl Sighting {
    pub(crate) fn of(event: &PersistedEvent) -> anyhow::Result<Self> {
        let position = event.position();
        Ok(Sighting {
            event_id: event.id(),
            aggregate: Aggregate::parse(event.aggregate_id())
                .with_context(|| format!("the event at {position} is not ours"))?,
            version: event.version().get(),
            position: position.get(),
        })
    }

    pub(crate) fn of_rows(rows: Vec<SightingRow>) -> anyhow::Result<Trail> {
        let sighting = |(event_id, aggregate_id, version, position): SightingRow| {
            let aggregate = Aggregate::parse(&aggregate_id)?;
            Ok(Sighting { event_id, aggregate, version, position })
        };
        rows.into_iter().map(sighting).collect()
    }
}
