//! Ctrl-C, and what it ends: the command's children first, then the command.

use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How often a child is looked at.
const POLL: Duration = Duration::from_millis(20);

static RECEIVED: AtomicBool = AtomicBool::new(false);
static CAUGHT: OnceLock<Result<(), String>> = OnceLock::new();

/// From here on Ctrl-C, SIGTERM and SIGHUP no longer end the process; [`check`] and [`follow`] do.
pub(crate) fn catch() -> anyhow::Result<()> {
    let handler = || RECEIVED.store(true, Ordering::Relaxed);
    let caught = CAUGHT.get_or_init(|| ctrlc::set_handler(handler).map_err(|err| err.to_string()));
    caught.clone().map_err(|message| anyhow::anyhow!("cannot catch Ctrl-C: {message}"))
}

/// Fails once the command was interrupted.
pub(crate) fn check() -> anyhow::Result<()> {
    if RECEIVED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

/// Runs `command` to its end. The terminal sends Ctrl-C to the child too, which decides when to
/// stop; after `patience` it is killed.
pub(crate) fn follow(command: &mut Command, patience: Duration) -> anyhow::Result<ExitStatus> {
    catch()?;
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
    let mut interrupted = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if check().is_err() && interrupted.get_or_insert_with(Instant::now).elapsed() > patience {
            child.kill()?;
        }
        sleep(POLL);
    }
}

/// The exit code of a child, for passing on.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
