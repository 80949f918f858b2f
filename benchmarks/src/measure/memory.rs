//! The memory a projection takes that catches up with a long log, in a process of its own.

use std::process::Command;

use anyhow::Context;

use super::{Bench, Kind, SMALL, announce};
use crate::backend::Backend;
use crate::contender::{Contender, Work};
use crate::figure::OURS;
use crate::ours::Ours;

const MEMORY: Kind = Kind::less("memory", "MiB, whole process");

/// Measures the peak of a process that does nothing but project.
pub(crate) async fn memory<B: Backend>(
    bench: &mut Bench,
    ours: &Ours<B>,
    url: &str,
) -> anyhow::Result<()> {
    let events = bench.quick_or(50_000, 1_000_000);
    announce(&format!("memory: a projection over {events} events"));
    ours.prepare().await?;
    ours.fill(0..events / 10, 10, SMALL).await?;
    // Also when the file was replaced meanwhile.
    let mut child = Command::new("/proc/self/exe");
    child.args(["--database-url", url, "--events", &events.to_string(), "project-alone"]);
    let output = child.output().context("cannot run a process to measure")?;
    let said = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(
        output.status.success(),
        "the process failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let kibibytes: f64 = said.trim().parse().context("the process did not print its peak")?;
    bench.record(MEMORY, &format!("{events} events, {SMALL} B"), OURS, kibibytes / 1024.0);
    Ok(())
}

/// What the process does: projects, and prints the most memory it ever had, in KiB.
pub(crate) async fn project_alone<B: Backend>(url: &str, events: usize) -> anyhow::Result<()> {
    let ours = Ours::<B>::open(url, 4).await?;
    ours.project(Work::UpsertBatch, events).await?;
    let status = std::fs::read_to_string("/proc/self/status")
        .context("the peak memory of a process is known on Linux only")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line.and_then(|line| line.split_whitespace().next());
    println!("{}", peak.context("the kernel does not tell the peak memory")?);
    Ok(())
}
