//! The projector's process: started, killed without a warning, started again.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use fastrand::Rng;
use tokio::process::Child;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::child;
use crate::tally::Tally;

/// How long the last run may take to project what is left.
const CATCH_UP_MAX: Duration = Duration::from_mins(5);

/// How long a killed process may take to be gone.
const KILL_MAX: Duration = Duration::from_secs(10);

/// How to start the projector of one store.
#[derive(Debug, Clone)]
pub(crate) struct ProjectorProcess {
    pub(crate) url: String,
    pub(crate) store: String,
}

/// How long processes live, and how long it takes until the next one.
#[derive(Debug, Clone)]
pub(crate) struct Lives {
    pub(crate) gap: RangeInclusive<u64>,
    pub(crate) life: RangeInclusive<u64>,
}

impl Lives {
    /// The projector: killed every second and back at once. In milliseconds.
    pub(crate) const PROJECTOR: Lives = Lives { gap: 0..=0, life: 1000..=1000 };

    /// A second one that somebody starts by mistake now and then. In milliseconds.
    pub(crate) const RIVAL: Lives = Lives { gap: 500..=2500, life: 500..=1500 };
}

impl ProjectorProcess {
    /// Starts and kills processes until `over`.
    pub(crate) async fn haunt(
        self,
        lives: Lives,
        mut rng: Rng,
        tally: Arc<Tally>,
        over: CancellationToken,
    ) -> anyhow::Result<()> {
        let is_rival = lives.gap != Lives::PROJECTOR.gap;
        loop {
            tokio::select! {
                () = over.cancelled() => return Ok(()),
                () = sleep(Duration::from_millis(rng.u64(lives.gap.clone()))) => {}
            }
            let mut child = self.start(&[])?;
            // Waiting for the child would close it.
            let _input = child.stdin.take();
            if is_rival {
                tally.rivals.add_one();
            }
            tokio::select! {
                () = over.cancelled() => {}
                () = sleep(Duration::from_millis(rng.u64(lives.life.clone()))) => {}
                status = child.wait() => {
                    bail!("the projector of {} ended by itself: {}", self.store, status?);
                }
            }
            // SIGKILL, where there are signals.
            let killed = timeout(KILL_MAX, child.kill()).await;
            killed.context("a killed projector does not end")??;
            tally.kills.add_one();
        }
    }

    /// Runs a process until it has projected all there is.
    pub(crate) async fn catch_up(&self, halt: &CancellationToken) -> anyhow::Result<()> {
        let mut child = self.start(&["--until-caught-up"])?;
        let status = tokio::select! {
            () = halt.cancelled() => return Ok(()),
            status = timeout(CATCH_UP_MAX, child.wait()) => status,
        };
        match status.with_context(|| format!("no end within {CATCH_UP_MAX:?}"))?? {
            status if status.success() => Ok(()),
            status => bail!("the last projector of {} failed: {status}", self.store),
        }
    }

    fn start(&self, options: &[&str]) -> anyhow::Result<Child> {
        let role = ["projector", "--store", &self.store];
        let mut command = child::command(&self.url, &[&role, options].concat())?;
        command.spawn().context("cannot start a projector")
    }
}
