//! The in-memory store against the clauses, and the pure decisions against their properties.

mod decisions;
mod mutants;
mod serialized;
mod values;

/// The in-memory store.
mod memory_conformance {
    use es::conformance::MemoryHarness;

    es::conformance_tests!(MemoryHarness, [append_outside_a_transaction, concurrent_appenders]);
}
