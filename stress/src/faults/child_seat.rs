//! A worker in a process of its own: killed, ended by its handler, told to leave, and the next one.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use es::WorkerId;
use fastrand::Rng;
use nix::sys::signal::Signal;
use tokio::process::Child;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::LEAVE_MAX;
use super::counts::Counts;
use super::seat::{Kills, Seat};
use crate::child;

/// How long a worker stays, in milliseconds.
const LIFE: std::ops::Range<u64> = 8_000..25_000;

/// How long a seat stays empty.
const GAP: Duration = Duration::from_millis(100);

/// What is needed to start workers.
pub(super) struct ChildSeat {
    pub(super) seat: Arc<Seat>,
    pub(super) kills: Kills,
    pub(super) url: String,
    pub(super) store: String,
    pub(super) counts: Arc<Counts>,
    pub(super) rng: Rng,
    pub(super) over: CancellationToken,
}

enum End {
    ByItself(ExitStatus),
    Killed(tokio::sync::oneshot::Sender<()>),
    Asked,
}

impl ChildSeat {
    /// Starts one worker after the other until it is over.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let mut number = 0;
        while !self.over.is_cancelled() {
            number += 1;
            let id = WorkerId::new(format!("{}-{number}", self.seat.name))?;
            let role = ["fragile-worker", "--store", &self.store, "--id", id.as_str()];
            let mut command = child::command(&self.url, &role)?;
            let mut child = command.spawn().context("cannot start a worker")?;
            // Waiting for the child would close it.
            let input = child.stdin.take();
            self.seat.sit_down(id.clone());
            let end = self.live(&mut child).await?;
            self.seat.get_up();
            match end {
                End::ByItself(status) => self.ended(&id, status),
                End::Killed(dead) => {
                    child.kill().await?;
                    // The one who asked may be gone.
                    let _ = dead.send(());
                }
                End::Asked => {
                    drop(input);
                    self.leave(&id, &mut child).await?;
                }
            }
            sleep(GAP).await;
        }
        Ok(())
    }

    async fn live(&mut self, child: &mut Child) -> anyhow::Result<End> {
        let (seat, life) = (Arc::clone(&self.seat), Duration::from_millis(self.rng.u64(LIFE)));
        let moved_on = async {
            sleep(life).await;
            // Not while somebody looks at this worker.
            drop(seat.peace.lock().await);
        };
        Ok(tokio::select! {
            status = child.wait() => End::ByItself(status?),
            Some(dead) = self.kills.recv() => End::Killed(dead),
            () = moved_on => End::Asked,
            () = self.over.cancelled() => End::Asked,
        })
    }

    fn ended(&self, id: &WorkerId, status: ExitStatus) {
        if status.signal() == Some(Signal::SIGABRT as i32) {
            self.counts.add("processes ended by a handler", 1);
            return;
        }
        self.counts.complain(format!("worker {id} ended by itself: {status}"));
    }

    async fn leave(&self, id: &WorkerId, child: &mut Child) -> anyhow::Result<()> {
        match timeout(LEAVE_MAX, child.wait()).await {
            Err(_) => {
                self.counts.complain(format!("worker {id} does not leave within {LEAVE_MAX:?}"));
                child.kill().await?;
            }
            Ok(status) => match status? {
                status if status.success() => self.counts.add("workers that left", 1),
                status => self.ended(id, status),
            },
        }
        Ok(())
    }
}
