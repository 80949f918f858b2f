//! What is there in the end, by SQL of this program's own.

use es::{EventSource, EventStore, Horizon, Position, ProjectionName};
use projection::Operator;
use uuid::Uuid;

use super::PROJECTIONS;
use super::calm::insist;
use super::database::Faulty;
use super::ledger::Entry;
use crate::sighting::SightingRow;

/// How many dead letters are read at once.
const LETTERS_MAX: u32 = 10_000;

/// What is there in the end.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) events: Vec<SightingRow>,
    pub(super) own_rows: Vec<Uuid>,
    pub(super) entries: Vec<Entry>,
    pub(super) projections: Vec<Projected>,
}

/// What one projection has done.
#[derive(Debug, Default)]
pub(super) struct Projected {
    pub(super) name: String,
    /// What it has noted, in order.
    pub(super) effects: Vec<SightingRow>,
    /// The positions of its dead letters.
    pub(super) letters: Vec<i64>,
}

impl Evidence {
    pub(super) async fn gather<B: Faulty>(
        backend: &B,
        entries: Vec<Entry>,
    ) -> anyhow::Result<Self> {
        let source = &**backend.source();
        let mut projections = Vec::new();
        for (name, _) in PROJECTIONS {
            let projection = ProjectionName::new(name)?;
            let operator = Operator::new(source);
            let letters = operator.dead_letters(&projection, Position::START, LETTERS_MAX).await?;
            projections.push(Projected {
                name: name.to_owned(),
                effects: backend.noted(name).await?,
                letters: letters.iter().map(|letter| letter.position.get()).collect(),
            });
        }
        let mut conn = source.acquire().await?;
        let events = B::read_naively(&mut conn, Position::START, u32::MAX).await?;
        source.release(conn);
        Ok(Evidence { events, own_rows: backend.own_rows().await?, entries, projections })
    }
}

/// The end of the log, once nothing holds it back.
pub(super) async fn end<B: Faulty>(backend: &B) -> anyhow::Result<Position> {
    insist("waiting for the end of the log", || async {
        let source = backend.source();
        let mut conn = source.acquire().await?;
        let horizon = source.store().horizon(&mut conn, Position::START).await?;
        source.release(conn);
        let Horizon { position, end, held_by, .. } = horizon;
        anyhow::ensure!(position == end, "the horizon stays at {position}, held by {held_by:?}");
        Ok(end)
    })
    .await
}
