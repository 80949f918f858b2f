//! What PostgreSQL's error codes mean, by whole classes.

/// What an SQLSTATE says about the statement, its transaction or the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The statement, or its data, is at fault.
    Statement,
    /// A table, column or schema is not there.
    NoTable,
    /// More than the server takes.
    TooLarge,
    /// The connection keeps a prepared form of the statement that no longer fits.
    Stale,
    /// An earlier error has aborted the transaction.
    Aborted,
    /// A deadlock, a time limit, a lost race: run the transaction again.
    Retryable,
    /// The session has ended, or none could be had.
    NoConnection,
    /// The server cannot do it now, whatever the statement is.
    Unavailable,
    /// The role lacks a right.
    NoRight,
}

/// Where the server raises the errors of PL/pgSQL's `raise`.
const RAISE: &str = "exec_stmt_raise";

/// Where it raises that a prepared statement no longer gives the columns it gave.
const REVALIDATE: &str = "RevalidateCachedQuery";

/// By <https://www.postgresql.org/docs/current/errcodes-appendix.html>; `routine` is the server's
/// function that raised the error, which is the same in every language.
///
/// A class that is not there counts as the server's, unless a `raise` of the user's made it up.
#[expect(clippy::match_same_arms, reason = "in the order of the codes")]
pub(crate) fn meaning(sqlstate: &str, routine: Option<&str>) -> Meaning {
    let is_raised = routine == Some(RAISE);
    match sqlstate {
        // feature_not_supported: "cached plan must not change result type".
        "0A000" if routine == Some(REVALIDATE) => Meaning::Stale,
        // invalid_sql_statement_name: the server has forgotten it, as after `discard all`.
        "26000" => Meaning::Stale,
        // read_only_sql_transaction: a standby, or an operator's `default_transaction_read_only`.
        "25006" => Meaning::Unavailable,
        // in_failed_sql_transaction.
        "25P02" => Meaning::Aborted,
        // idle_in_transaction_session_timeout, transaction_timeout.
        "25P03" | "25P04" => Meaning::NoConnection,
        // invalid_catalog_name, when connecting.
        "3D000" if !is_raised => Meaning::Unavailable,
        "42501" => Meaning::NoRight,
        // undefined_table, undefined_column, invalid_schema_name.
        "42P01" | "42703" | "3F000" => Meaning::NoTable,
        // too_many_connections.
        "53300" => Meaning::NoConnection,
        // object_in_use, lock_not_available.
        "55006" | "55P03" => Meaning::Retryable,
        // query_canceled, by a time limit or an operator.
        "57014" => Meaning::Retryable,
        // admin_shutdown, crash_shutdown, idle_session_timeout.
        "57P01" | "57P02" | "57P05" => Meaning::NoConnection,
        // fdw_error, fdw_out_of_memory, fdw_unable_to_create_execution, …_reply,
        // …_establish_connection: the other server's, and what it says of a statement is not.
        "HV000" | "HV001" | "HV00L" | "HV00M" | "HV00N" => Meaning::Unavailable,
        // internal_error: what a server, or an extension, did not expect. Another transaction may
        // not meet it; if each does at one event, it is that event's in the end.
        "XX000" => Meaning::Retryable,
        _ => class_meaning(sqlstate.get(..2).unwrap_or(sqlstate), is_raised),
    }
}

fn class_meaning(class: &str, is_raised: bool) -> Meaning {
    match class {
        // Connection exception.
        "08" => Meaning::NoConnection,
        // Transaction rollback; snapshot too old.
        "40" | "72" => Meaning::Retryable,
        // Program limit exceeded.
        "54" => Meaning::TooLarge,
        // Insufficient resources; operator intervention; system error; configuration file;
        // internal error, data corrupted. An authorization that is refused is an operator's, too.
        "28" | "53" | "57" | "58" | "F0" | "XX" => Meaning::Unavailable,
        // Success, warnings and no data, which are no errors; SQL statement not yet complete;
        // triggered action; features; locators; grantors and roles; diagnostics; XQuery; case.
        "00" | "01" | "02" | "03" | "09" | "0A" | "0B" | "0F" | "0L" | "0P" | "0Z" | "10"
        | "20"
        // Cardinality; data; integrity constraint; cursor state; transaction state; triggered
        // data change; privilege descriptors; transaction termination; SQL routine.
        | "21" | "22" | "23" | "24" | "25" | "27" | "2B" | "2D" | "2F"
        // Cursor name; external routines; savepoint; catalog and schema names; syntax and rules;
        // with check option.
        | "34" | "38" | "39" | "3B" | "3D" | "3F" | "42" | "44"
        // Prerequisite state; foreign data; PL/pgSQL.
        | "55" | "HV" | "P0" => Meaning::Statement,
        _ if is_raised => Meaning::Statement,
        _ => Meaning::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_nobody_knows_is_the_servers_unless_a_user_made_it_up() {
        assert_eq!(meaning("59001", Some("ProcSleep")), Meaning::Unavailable);
        assert_eq!(meaning("XX777", Some(RAISE)), Meaning::Unavailable);
        assert_eq!(meaning("SHOP1", Some(RAISE)), Meaning::Statement);
        assert_eq!(meaning("", None), Meaning::Unavailable);
        assert_eq!(meaning("é", None), Meaning::Unavailable);
    }

    #[test]
    fn a_feature_that_is_missing_is_the_statements_fault() {
        assert_eq!(meaning("0A000", Some("transformLockingClause")), Meaning::Statement);
        assert_eq!(meaning("0A000", Some(REVALIDATE)), Meaning::Stale);
    }
}
