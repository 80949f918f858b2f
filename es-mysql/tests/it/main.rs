//! The MySQL store against the clauses every store must hold, and what is MySQL's own.
//!
//! The tests need a server: `cargo xtask test` starts one.

mod by_hand;
mod causes;
mod conflicts;
mod dropped;
mod examples;
mod failures;
mod harness;
mod horizon;
mod plans;
mod positions;
mod proxy;
mod schedule;
mod schema_check;
mod sessions;
mod settings;
mod time_limits;
mod wire;

/// The clauses of the store, in REPEATABLE READ, which is the server's default.
mod mysql_conformance {
    use crate::harness::MySqlHarness;

    es::conformance_tests!(
        MySqlHarness::new(),
        [append_inside_transactions_only, concurrent_appenders]
    );
}

/// The clauses of the store, in READ COMMITTED and with other settings than sqlx makes.
mod mysql_other_settings_conformance {
    use crate::harness::MySqlHarness;

    es::conformance_tests!(
        MySqlHarness::with(
            "set session transaction isolation level read committed;
             set session time_zone = '+05:30';
             set session sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,STRICT_TRANS_TABLES';
             set session sql_select_limit = 1;
             set session auto_increment_increment = 3"
        ),
        [append_inside_transactions_only, concurrent_appenders]
    );
}

/// The clauses of the store, where MariaDB reads REPEATABLE READ strictly, as it does by default
/// since 11.6.
mod mysql_snapshot_isolation_conformance {
    use crate::harness::MySqlHarness;

    es::conformance_tests!(
        MySqlHarness::with("/*M! set session innodb_snapshot_isolation = on */; do 0"),
        [append_inside_transactions_only, concurrent_appenders]
    );
}

/// The clauses of the processor.
mod mysql_projections {
    use crate::harness::MySqlHarness;

    projection::conformance_tests!(
        MySqlHarness::new(),
        [append_inside_transactions_only, concurrent_appenders, transactions_with_time_limits]
    );
}

/// The clauses of the processor, where a session commits nothing by itself.
mod mysql_projections_without_autocommit {
    use crate::harness::MySqlHarness;

    projection::conformance_tests!(
        MySqlHarness::with("set session autocommit = 0"),
        [append_inside_transactions_only, concurrent_appenders, transactions_with_time_limits]
    );
}
