//! The processor against its clauses, on the in-memory store; and the fence, broken on purpose.

mod unfenced;

/// The in-memory store. The adapters run the same clauses in their own crates.
mod memory_projections {
    use es::conformance::MemoryHarness;

    projection::conformance_tests!(MemoryHarness, [concurrent_appenders]);
}
