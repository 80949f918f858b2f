//! The operator who tries dead letters again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use es::{Position, StreamId};
use projection::Projection;
use projection::operator::RetriedLetters;
use projection::{Operator, OperatorError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::effects::Effects;

/// How often the operator looks.
const INTERVAL: Duration = Duration::from_millis(500);

/// How many dead letters the operator looks at.
const LETTERS_MAX: u32 = 500;

/// What came of the dead letters.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Letters {
    /// Handled at last.
    pub(super) handled: usize,
    /// Tried again, and failed again.
    pub(super) failed: u64,
    /// The most that were seen at once.
    pub(super) most: usize,
}

/// Tries dead letters again until it is over.
pub(super) async fn run<B: Backend>(
    backend: Arc<B>,
    over: CancellationToken,
) -> anyhow::Result<Letters> {
    let mut letters = Letters::default();
    while over.run_until_cancelled(sleep(INTERVAL)).await.is_some() {
        letters.retry(&*backend, &over).await?;
    }
    Ok(letters)
}

impl Letters {
    /// Tries those again that are there; says whether there were any.
    pub(super) async fn retry<B: Backend>(
        &mut self,
        backend: &B,
        halt: &CancellationToken,
    ) -> anyhow::Result<bool> {
        let operator = Operator::new(&**backend.source());
        let effects = Effects::<B>::with_poison();
        let found = operator.dead_letters(effects.name(), Position::START, LETTERS_MAX).await;
        let found = match found {
            // The first worker is still on its way.
            Err(OperatorError::UnknownProjection { .. }) => return Ok(false),
            Err(error) if error.is_retryable() => return Ok(true),
            found => found?,
        };
        self.most = self.most.max(found.len());
        let streams: BTreeSet<StreamId> = found.into_iter().map(|letter| letter.stream).collect();
        for stream in &streams {
            if halt.is_cancelled() {
                break;
            }
            match operator.retry(&effects, stream).await {
                Ok(RetriedLetters::Handled(handled)) => self.handled += handled,
                Ok(RetriedLetters::Failed { handled, .. }) => {
                    self.handled += handled;
                    self.failed += 1;
                }
                Ok(_) => {}
                // It comes from what others do at the same time.
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(!streams.is_empty())
    }
}
