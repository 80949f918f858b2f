//! A worker's process: started, stopped, continued, killed.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use es::WorkerId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::time::timeout;

use super::worker::READY;
use crate::child;

/// How long a process may take until it is ready.
const START_MAX: Duration = Duration::from_secs(30);

/// How long a process that was told to leave may take: a batch, behind the locks of others.
const LEAVE_MAX: Duration = Duration::from_mins(1);

/// How long a killed process may take to be gone.
const KILL_MAX: Duration = Duration::from_secs(10);

/// The process of one worker. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct WorkerProcess {
    id: WorkerId,
    child: Child,
    /// It leaves when this is closed. Waiting for the child would close what it has itself.
    input: ChildStdin,
}

impl WorkerProcess {
    /// Starts one and waits until it is ready.
    pub(super) async fn start(url: &str, store: &str, id: WorkerId) -> anyhow::Result<Self> {
        let role = ["worker", "--store", store, "--id", id.as_str()];
        let mut command = child::command(url, &role)?;
        command.stdout(std::process::Stdio::piped());
        let mut child = command.spawn().context("cannot start a worker")?;
        let input = child.stdin.take().context("the worker has no input")?;
        let output = child.stdout.take().context("the worker has no output")?;
        let mut line = String::new();
        let mut output = BufReader::new(output);
        let read = timeout(START_MAX, output.read_line(&mut line)).await;
        read.with_context(|| format!("worker {id} is not ready within {START_MAX:?}"))??;
        if line.trim_end() != READY {
            bail!("worker {id} ended before it was ready: {}", child.wait().await?);
        }
        Ok(WorkerProcess { id, child, input })
    }

    pub(super) fn id(&self) -> &WorkerId {
        &self.id
    }

    /// Resolves when it ends by itself, which is an error.
    pub(super) async fn failure(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => anyhow!("worker {} ended by itself: {status}", self.id),
            Err(error) => error.into(),
        }
    }

    /// Stops it in whatever it is doing: SIGSTOP.
    pub(super) fn freeze(&self) -> anyhow::Result<()> {
        self.send(Signal::SIGSTOP)
    }

    /// Lets it go on: SIGCONT.
    pub(super) fn thaw(&self) -> anyhow::Result<()> {
        self.send(Signal::SIGCONT)
    }

    /// Ends it without a warning: SIGKILL.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        let killed = timeout(KILL_MAX, self.child.kill()).await;
        killed.with_context(|| format!("worker {} was killed and does not end", self.id))??;
        Ok(())
    }

    /// Asks it to end, and expects that it does so without an error.
    pub(super) async fn leave(mut self) -> anyhow::Result<()> {
        drop(self.input);
        let status = timeout(LEAVE_MAX, self.child.wait()).await;
        let status = status.with_context(|| format!("worker {} does not leave", self.id))??;
        if !status.success() {
            bail!("worker {} did not leave cleanly: {status}", self.id);
        }
        Ok(())
    }

    fn send(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.id().with_context(|| format!("worker {} has ended", self.id))?;
        Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
    }
}
