//! The SQLite store against the clauses every store must hold, and what is SQLite's own.

mod bad_input;
mod codes;
mod columns;
mod connections;
mod dropped;
mod ended;
mod examples;
mod harness;
mod leaving;
mod plans;
mod schema_check;
mod time_limits;

/// The clauses. SQLite has one writer at a time, so `concurrent_appenders` is not claimed.
mod sqlite_conformance {
    use crate::harness::SqliteHarness;

    es::conformance_tests!(SqliteHarness::new(), [append_outside_a_transaction]);
}

/// The processor's clauses on the same files.
mod sqlite_projections {
    use crate::harness::SqliteHarness;

    projection::conformance_tests!(SqliteHarness::new(), [append_outside_a_transaction]);
}
