//! How this program starts itself, to have processes that can be killed.

use std::process::Stdio;

use tokio::process::Command;

/// This program in another role, on the same database.
pub(crate) fn command(url: &str, role: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env("DATABASE_URL", url).args(role);
    // The process ends when its input does, so that none outlives a parent that was killed.
    command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
    // Ctrl-C in a terminal is for the parent alone.
    #[cfg(unix)]
    command.process_group(0);
    Ok(command)
}
