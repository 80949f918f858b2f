//! One named part of a command, with the time it took.

use std::time::Instant;

use anyhow::Context;

/// Runs `work` under `name`, which a failure names too.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    eprintln!("── {name}");
    let started = Instant::now();
    let result = work().with_context(|| format!("{name} failed"))?;
    eprintln!("── {name}: {:.1?}", started.elapsed());
    Ok(result)
}
