//! The PostgreSQL store against the clauses every store must hold, and what is PostgreSQL's own.
//!
//! The tests need a server: `cargo xtask test` starts one.

mod by_hand;
mod causes;
mod dropped;
mod environment;
mod examples;
mod failures;
mod harness;
mod horizon;
mod hostile;
mod isolation;
mod limits;
mod notifications;
mod own_futures;
mod plans;
mod proxy;
mod schema_check;
mod stale;
mod survival;
mod wire;

/// The clauses of the store.
mod postgres_conformance {
    use crate::harness::PgHarness;

    es::conformance_tests!(PgHarness::new(), [append_outside_a_transaction, concurrent_appenders]);
}

/// The clauses of the processor.
mod postgres_projections {
    use crate::harness::PgHarness;

    projection::conformance_tests!(
        PgHarness::new(),
        [append_outside_a_transaction, concurrent_appenders, transactions_with_time_limits]
    );
}
