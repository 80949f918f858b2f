//! One running server process, under a supervisor that stops it when this process dies.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::Lifetime;
use super::directory::Directory;
use crate::interrupt;

/// How long a server may take until it answers.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// How long a server may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the supervisor may take beyond that to remove the files.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a server is looked at.
const POLL: Duration = Duration::from_millis(20);

/// How often another port is tried when somebody else was faster.
const PORTS_TRIED_MAX: u32 = 3;

const SUPERVISE: &str = include_str!("supervise.sh");

/// The named pipe through which a server that outlives its starter is told to stop.
const CONTROL: &str = "control";

/// A running server; dropping it stops the server and removes its directory.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    control: Option<File>,
    directory: Option<Directory>,
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy)]
pub(super) enum StopSignal {
    /// `PostgreSQL` disconnects its clients and stops.
    Interrupt,
    /// `MariaDB` disconnects its clients and stops.
    Terminate,
    /// For a server without any state.
    Kill,
}

impl StopSignal {
    fn name(self) -> &'static str {
        match self {
            StopSignal::Interrupt => "INT",
            StopSignal::Terminate => "TERM",
            StopSignal::Kill => "KILL",
        }
    }
}

impl Process {
    /// Starts `command` and waits until it is `ready`.
    pub(super) fn start(
        command: &Command,
        directory: Directory,
        stop: StopSignal,
        lifetime: Lifetime,
        ready: impl Fn() -> bool,
    ) -> anyhow::Result<Process> {
        interrupt::check()?;
        let mut supervisor = supervisor(command, directory.path(), stop);
        let control = match lifetime {
            Lifetime::ThisProcess => None,
            Lifetime::UntilStopped => Some(create_control(directory.path())?),
        };
        supervisor.stdin(match &control {
            None => Stdio::piped(),
            Some(control) => control.try_clone()?.into(),
        });
        supervisor.stdout(directory.lock()?);
        let child = supervisor.spawn().context("cannot start `sh`")?;
        let mut process = Process { child, control, directory: Some(directory) };
        process.wait_until(ready)?;
        Ok(process)
    }

    fn wait_until(&mut self, ready: impl Fn() -> bool) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            interrupt::check()?;
            let log = || self.directory.as_ref().map(Directory::log_tail).unwrap_or_default();
            // Asked first: somebody else may answer on the port.
            if self.child.try_wait()?.is_some() {
                bail!("the server did not start; its log ends:{}", log());
            }
            if ready() {
                return Ok(());
            }
            if started.elapsed() > START_TIMEOUT {
                bail!("the server did not answer within {START_TIMEOUT:?}; its log ends:{}", log());
            }
            sleep(POLL);
        }
    }

    /// The server's data and log.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.directory.as_ref().map(Directory::path)
    }

    /// Leaves the server running until [`stop`] is called with its directory.
    pub(super) fn detach(mut self) {
        if let Some(directory) = self.directory.take() {
            directory.keep();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(directory) = self.directory.take() else {
            return;
        };
        drop(self.child.stdin.take());
        if let Some(mut control) = self.control.take()
            && let Err(err) = control.write_all(b"stop\n")
        {
            eprintln!("cannot stop a server: {err}");
        }
        if wait_until_gone(directory.path()) {
            // The supervisor is gone, or about to be.
            self.child.wait().ok();
        }
    }
}

/// Stops a server that was left running in `directory`. Returns `false` if none was.
pub(super) fn stop(directory: &Path) -> anyhow::Result<bool> {
    let was_running = is_running(directory);
    if let Ok(mut control) = open_control(directory) {
        control.write_all(b"stop\n").context("cannot stop the server")?;
        if !wait_until_gone(directory) {
            bail!("the server in {} does not stop", directory.display());
        }
    } else if directory.exists() {
        // The machine was restarted.
        std::fs::remove_dir_all(directory)
            .with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    Ok(was_running)
}

/// Whether the server that was left running in `directory` still runs.
pub(super) fn is_running(directory: &Path) -> bool {
    !directory.join("exited").exists() && open_control(directory).is_ok()
}

/// Starts a server on a free port, and on another one if somebody took that port meanwhile.
pub(super) fn on_free_port<T>(start: impl Fn(u16) -> anyhow::Result<T>) -> anyhow::Result<T> {
    for _ in 1..PORTS_TRIED_MAX {
        let port = free_port()?;
        let result = start(port);
        if result.is_ok() || interrupt::check().is_err() || !is_taken(port) {
            return result;
        }
        eprintln!("port {port} was taken by somebody else meanwhile: trying another");
    }
    start(free_port()?)
}

/// Whether something listens on `port`.
pub(super) fn answers(port: u16) -> bool {
    connect(port).is_ok()
}

/// A connection to `port` of this machine.
pub(super) fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&address(port), Duration::from_secs(1))
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(address(0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

fn is_taken(port: u16) -> bool {
    matches!(TcpListener::bind(address(port)), Err(err) if err.kind() == io::ErrorKind::AddrInUse)
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// `command` under the shell that stops it.
fn supervisor(command: &Command, directory: &Path, stop: StopSignal) -> Command {
    let tenths = STOP_TIMEOUT.as_millis() / 100;
    let mut supervisor = Command::new("sh");
    supervisor.args(["-c", SUPERVISE, "supervise"]).arg(directory);
    supervisor.args([stop.name(), &tenths.to_string()]);
    supervisor.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => supervisor.env(name, value),
            None => supervisor.env_remove(name),
        };
    }
    // In a process group of its own it gets no Ctrl-C: the starter does, and stops it in order.
    supervisor.process_group(0).current_dir("/").stderr(Stdio::null());
    supervisor
}

fn create_control(directory: &Path) -> anyhow::Result<File> {
    let path = directory.join(CONTROL);
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).context("cannot create a named pipe")?;
    // Open for writing too, the pipe never ends.
    let pipe = OpenOptions::new().read(true).write(true).open(&path);
    pipe.context("cannot open a named pipe")
}

fn open_control(directory: &Path) -> io::Result<File> {
    // So opened, a pipe that nobody reads is an error instead of a wait.
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    OpenOptions::new().write(true).custom_flags(flags).open(directory.join(CONTROL))
}

fn wait_until_gone(directory: &Path) -> bool {
    let started = Instant::now();
    while directory.exists() {
        if started.elapsed() > STOP_TIMEOUT + CLEANUP_TIMEOUT {
            return false;
        }
        sleep(POLL);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::account::Account;
    use super::*;

    fn directory() -> Directory {
        Directory::create("test", &Account::choose("nobody").unwrap()).unwrap()
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_dropped_process_is_stopped_and_its_directory_removed() {
        let directory = directory();
        let path = directory.path().to_owned();
        let process = Process::start(
            &shell("exec sleep 60"),
            directory,
            StopSignal::Terminate,
            Lifetime::ThisProcess,
            || true,
        );
        assert!(path.exists());
        drop(process.unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_process_that_ends_at_once_shows_its_log() {
        let error = Process::start(
            &shell("echo no space left >&2; exit 3"),
            directory(),
            StopSignal::Terminate,
            Lifetime::ThisProcess,
            || false,
        );
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains("did not start") && message.contains("no space left"),
            "{message}"
        );
    }

    #[test]
    fn a_detached_process_runs_until_it_is_stopped() {
        let process = Process::start(
            &shell("exec sleep 60"),
            directory(),
            StopSignal::Terminate,
            Lifetime::UntilStopped,
            || true,
        );
        let process = process.unwrap();
        let directory = process.directory().unwrap().to_owned();
        process.detach();
        assert!(is_running(&directory));
        assert!(stop(&directory).unwrap());
        assert!(!directory.exists());
        assert!(!stop(&directory).unwrap());
    }

    #[test]
    fn a_taken_port_is_not_free() {
        let listener = TcpListener::bind(address(0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_taken(port) && answers(port));
        assert_ne!(free_port().unwrap(), port);
    }
}
