//! Events the projection cannot handle at first.

use std::panic::resume_unwind;

use fastrand::Rng;
use projection::HandlerError;
use uuid::Uuid;

use crate::backend::Backend;
use crate::effects::ATTEMPTS_MAX;

/// One event in this many is poisonous.
const RARITY: u32 = 150;

/// What an event does to the handler: the same in every process, for it follows from the event's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Poison {
    /// How many attempts fail. Fewer than [`ATTEMPTS_MAX`], and a worker gets over it; otherwise it
    /// is parked, and fails again when it is retried, until the attempts are used up.
    failures: u32,
    manner: Manner,
}

/// How the handler fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// With an error of its own; the transaction could go on.
    Error,
    /// With a statement the database refuses, which may end the transaction.
    Statement,
    Panic,
}

impl Poison {
    /// The poison in an event, if there is any.
    pub(crate) fn of(event_id: Uuid) -> Option<Self> {
        let mut rng = Rng::with_seed(event_id.as_u64_pair().1);
        if rng.u32(0..RARITY) > 0 {
            return None;
        }
        let manner = match rng.u8(0..3) {
            0 => Manner::Error,
            1 => Manner::Statement,
            _ => Manner::Panic,
        };
        Some(Poison { failures: rng.u32(1..=ATTEMPTS_MAX.get() + 2), manner })
    }

    /// Whether this attempt fails, counted from 1.
    pub(crate) fn is_effective(self, attempt: u32) -> bool {
        attempt <= self.failures
    }

    /// Fails.
    pub(crate) async fn strike<B: Backend>(
        self,
        conn: &mut B::Connection,
    ) -> Result<(), HandlerError> {
        match self.manner {
            Manner::Error => Err("this event is poisonous".into()),
            Manner::Statement => Ok(B::fail(conn).await?),
            // Without the message that every panic prints.
            Manner::Panic => resume_unwind(Box::new("this event is poisonous")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_events_to_get_over_and_events_to_park() {
        let poisons: Vec<Poison> = (0..10_000).filter_map(|_| Poison::of(Uuid::now_v7())).collect();
        let is_parked = |poison: &&Poison| poison.is_effective(ATTEMPTS_MAX.get());
        let parked = poisons.iter().filter(is_parked).count();
        assert!(0 < parked && parked < poisons.len(), "{parked} of {}", poisons.len());
        for manner in [Manner::Error, Manner::Statement, Manner::Panic] {
            assert!(poisons.iter().any(|poison| poison.manner == manner), "{manner:?}");
        }
    }
}
