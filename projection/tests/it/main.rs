//! The processor against its clauses, on the in-memory store; and stores, broken on purpose.

mod broken;
mod connections;
#[cfg(feature = "metrics")]
mod gauges;
mod interposed;
#[cfg(feature = "metrics")]
mod measured;
mod operators;
mod side_by_side;
mod silence;
mod silent_operators;
mod simulation;
mod statuses;
mod watched;

/// The in-memory store. The adapters run the same clauses in their own crates.
mod memory_projections {
    use es::conformance::MemoryHarness;

    projection::conformance_tests!(MemoryHarness, [concurrent_appenders]);
}
