//! A worker in this process: its future is dropped, by a handler too, or it is told to leave, and
//! the next one comes.

use std::sync::Arc;
use std::time::Duration;

use es::WorkerId;
use fastrand::Rng;
use projection::ProcessorError;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::STOP_MAX;
use super::counts::Counts;
use super::database::Faulty;
use super::projection::Crash;
use super::seat::Seat;
use super::worker;

/// How long a worker stays, in milliseconds.
const LIFE: std::ops::Range<u64> = 2_000..9_000;

/// How long a seat stays empty.
const GAP: Duration = Duration::from_millis(100);

/// What is needed to run workers.
pub(super) struct InnerSeat<B> {
    pub(super) seat: Arc<Seat>,
    pub(super) backend: Arc<B>,
    pub(super) counts: Arc<Counts>,
    pub(super) rng: Rng,
    pub(super) over: CancellationToken,
}

enum End {
    ByItself(Result<(), ProcessorError>),
    Dropped,
    Crashed,
    Asked,
}

impl<B: Faulty> InnerSeat<B> {
    /// Runs one worker after the other until it is over.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let mut number = 0;
        while !self.over.is_cancelled() {
            number += 1;
            let id = WorkerId::new(format!("{}-{number}", self.seat.name))?;
            self.live(&id).await?;
            sleep(GAP).await;
        }
        Ok(())
    }

    async fn live(&mut self, id: &WorkerId) -> anyhow::Result<()> {
        let dropped = Arc::new(Notify::new());
        let crash = Crash::Future(Arc::clone(&dropped));
        let worker = worker::worker(&*self.backend, id.clone(), &crash, &self.seat.gate)?;
        let shutdown = CancellationToken::new();
        let mut run = Box::pin(worker.run(shutdown.clone()));
        self.seat.sit_down(id.clone());
        let (life, is_asked) = (Duration::from_millis(self.rng.u64(LIFE)), self.rng.u8(0..3) == 0);
        let moved_on = async {
            sleep(life).await;
            // Not while somebody looks at this worker.
            drop(self.seat.peace.lock().await);
        };
        let end = tokio::select! {
            ended = &mut run => End::ByItself(ended),
            () = dropped.notified() => End::Crashed,
            () = moved_on => if is_asked { End::Asked } else { End::Dropped },
            () = self.over.cancelled() => End::Asked,
        };
        self.seat.get_up();
        match end {
            End::ByItself(Ok(())) => self.complain(id, "ended by itself"),
            End::ByItself(Err(error)) => {
                self.complain(id, &format!("ended by itself: {:#}", anyhow::Error::from(error)));
            }
            End::Dropped => self.counts.add("dropped futures of workers", 1),
            End::Crashed => self.counts.add("workers dropped by a handler", 1),
            End::Asked => {
                shutdown.cancel();
                match timeout(STOP_MAX, &mut run).await {
                    Err(_) => self.complain(id, &format!("does not leave within {STOP_MAX:?}")),
                    Ok(Ok(())) => self.counts.add("workers that left", 1),
                    Ok(Err(error)) => {
                        let error = anyhow::Error::from(error);
                        self.complain(id, &format!("did not leave cleanly: {error:#}"));
                    }
                }
            }
        }
        Ok(())
    }

    fn complain(&self, id: &WorkerId, what: &str) {
        self.counts.complain(format!("worker {id} {what}"));
    }
}
