//! The private server of `cargo xtask stress --faults`, which is started again when it ends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

/// How long a server may take until it has ended and is started again.
const RESTART_MAX: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(20);

/// A server whose supervisor starts it again if the file `restart` is in its directory, and keeps
/// its process id in the file `pid`.
#[derive(Debug, Clone)]
pub(super) struct Server {
    directory: PathBuf,
}

impl Server {
    pub(super) fn new(directory: &Path) -> Self {
        Server { directory: directory.to_owned() }
    }

    /// Ends it by a signal, and waits until another process is there.
    pub(super) async fn restart(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid()?;
        let request = self.directory.join("restart");
        std::fs::write(&request, "").context("cannot ask for the server to be started again")?;
        kill(Pid::from_raw(pid), signal).context("cannot end the server")?;
        let deadline = Instant::now() + RESTART_MAX;
        while self.pid().map_or(true, |new| new == pid) {
            anyhow::ensure!(Instant::now() < deadline, "the server is not started again");
            sleep(POLL).await;
        }
        Ok(())
    }

    fn pid(&self) -> anyhow::Result<i32> {
        let pid = std::fs::read_to_string(self.directory.join("pid"));
        Ok(pid.context("the server has no process id")?.trim().parse()?)
    }
}
