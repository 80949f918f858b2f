//! What the servers' numbers and states mean.
//!
//! The numbers are those of <https://mariadb.com/kb/en/mariadb-error-code-reference/> (the names
//! as in MariaDB's `errmsg-utf8.txt`) and of
//! <https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html>. Below 1900 both
//! servers share them; 1900 to 1999 and from 4000 on are MariaDB's, 3000 to 3999 MySQL's.

/// What an error means to the statement, its transaction and its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The statement had no effect and can be repeated; the transaction is open.
    StatementUndone,
    /// The transaction is open, and only another one can succeed.
    TransactionUseless,
    /// The server has rolled the transaction back and ended it.
    TransactionEnded,
    /// The server cannot do it now, whatever is asked of it.
    ServerUnable,
    /// The user lacks a right, which an operator grants.
    NoRight,
    NoTransaction,
    InTransaction,
    NoConnection,
    /// The pool had none to give.
    NoneInTime,
    NoTable,
    TooLarge,
    Duplicate,
    /// The counter of a table has no number left.
    CounterExhausted,
    Undecodable,
    /// The statement's own, or that of its data.
    Statement,
}

/// Sorts an error of the server: by its number, else by its state.
pub(crate) fn kind(number: u16, state: Option<&str>) -> Kind {
    by_number(number).unwrap_or_else(|| by_state(number, state.unwrap_or(GENERAL_ERROR)))
}

/// The state of every error that has none of its own.
const GENERAL_ERROR: &str = "HY000";

fn by_number(number: u16) -> Option<Kind> {
    let kind = match number {
        // ER_LOCK_WAIT_TIMEOUT, ER_QUERY_INTERRUPTED, MariaDB's ER_STATEMENT_TIMEOUT, MySQL's
        // ER_QUERY_TIMEOUT, ER_TOO_MANY_CONCURRENT_TRXS, ER_NEED_REPREPARE, MySQL's
        // ER_LOCK_NOWAIT.
        1205 | 1317 | 1969 | 3024 | 1637 | 1615 | 3572 => Kind::StatementUndone,
        // ER_TABLE_DEF_CHANGED: the table was altered after the transaction's snapshot.
        1412 => Kind::TransactionUseless,
        // ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR,
        // ER_SPECIFIC_ACCESS_DENIED_ERROR, ER_PROCACCESS_DENIED_ERROR.
        1044 | 1142 | 1143 | 1227 | 1370 => Kind::NoRight,
        // ER_LOCK_DEADLOCK; ER_CHECKREAD, by which MariaDB says that a row has changed since the
        // snapshot; ER_LOCK_TABLE_FULL; ER_XA_RBROLLBACK, ER_XA_RBTIMEOUT, ER_XA_RBDEADLOCK;
        // MySQL's ER_TRANSACTION_ROLLBACK_DURING_COMMIT; MariaDB's ER_PRIOR_COMMIT_FAILED.
        1213 | 1020 | 1206 | 1402 | 1613 | 1614 | 3101 | 1964 => Kind::TransactionEnded,
        // ER_SP_DOES_NOT_EXIST, said of a savepoint.
        1305 => Kind::NoTransaction,
        // ER_CANT_CHANGE_TX_CHARACTERISTICS.
        1568 => Kind::InTransaction,
        // ER_FORCING_CLOSE, ER_ABORTING_CONNECTION, ER_NET_READ_ERROR_FROM_PIPE to
        // ER_NET_WRITE_INTERRUPTED, ER_NEW_ABORTING_CONNECTION, MariaDB's ER_CONNECTION_KILLED,
        // MySQL's ER_SESSION_WAS_KILLED and ER_CLIENT_INTERACTION_TIMEOUT, and what clients call a
        // lost connection.
        1080 | 1152 | 1154..=1161 | 1184 | 1927 | 3169 | 4031 | 2006 | 2013 | 2055 => {
            Kind::NoConnection
        }
        // ER_NO_SUCH_TABLE, ER_BAD_FIELD_ERROR, ER_NO_DB_ERROR, ER_BAD_DB_ERROR.
        1146 | 1054 | 1046 | 1049 => Kind::NoTable,
        // ER_NET_PACKET_TOO_LARGE, ER_DATA_TOO_LONG, ER_TOO_BIG_ROWSIZE.
        1153 | 1406 | 1118 => Kind::TooLarge,
        1062 => Kind::Duplicate,
        // ER_AUTOINC_READ_FAILED, and HA_ERR_AUTOINC_ERANGE, which MariaDB passes on as it is.
        1467 | 167 => Kind::CounterExhausted,
        _ if SERVER_UNABLE.contains(&number) => Kind::ServerUnable,
        _ if UNDONE.contains(&number) => Kind::TransactionUseless,
        _ if STATEMENT_IN_GENERAL_STATE.contains(&number) => Kind::Statement,
        _ => return None,
    };
    Some(kind)
}

/// What may be the server's fault, and what one statement can cause each time it is run, by its
/// data or by how much it asks for: tried again, but not without an end.
#[rustfmt::skip]
const UNDONE: &[u16] = &[
    // ER_UNKNOWN_ERROR, such as that of an XPath; ER_INTERNAL_ERROR.
    1105, 1815,
    // Memory and recursion: ER_OUT_OF_SORTMEMORY, ER_STACK_OVERRUN, ER_STACK_OVERRUN_NEED_MORE;
    // MySQL's ER_CAPACITY_EXCEEDED and ER_CTE_MAX_RECURSION_DEPTH.
    1038, 1119, 1436, 3170, 3636,
    // A transaction too large for the binary log, a sort for its files: ER_TRANS_CACHE_FULL,
    // ER_STMT_CACHE_FULL, ER_FILSORT_ABORT.
    1197, 1705, 1028,
    // Files and tables that a statement makes or removes, such as a table with a foreign key to
    // nothing: ER_CANT_CREATE_FILE to ER_CANT_CREATE_DB, ER_CANT_DELETE_FILE, ER_ERROR_ON_RENAME.
    1004, 1005, 1006, 1011, 1025,
    // ER_XAER_RMFAIL, an XA statement in the wrong place; what a group refuses, such as a
    // transaction that is too large: MySQL's ER_BEFORE_DML_VALIDATION_ERROR and ER_RUN_HOOK_ERROR.
    1399, 3098, 3100,
];

/// What an operator, or time, has to cure, whatever the statement was.
#[rustfmt::skip]
const SERVER_UNABLE: &[u16] = &[
    // The disk is full, or the space of the engine: ER_DISK_FULL, ER_RECORD_FILE_FULL,
    // MySQL's ER_INNODB_UNDO_LOG_FULL; MariaDB's ER_INDEX_FILE_FULL.
    1021, 1114, 3019, 4139,
    // Files that cannot be read or written: ER_CANT_FIND_SYSTEM_REC to ER_CANT_SET_WD,
    // ER_ERROR_ON_CLOSE, ER_ERROR_ON_READ, ER_ERROR_ON_WRITE, ER_GET_ERRNO, ER_NOT_FORM_FILE to ER_OPEN_AS_READONLY, ER_UNEXPECTED_EOF,
    // ER_ERROR_DURING_COMMIT to ER_ERROR_DURING_CHECKPOINT, ER_INDEX_REBUILD, ER_GET_ERRMSG,
    // ER_GET_TEMPORARY_ERRMSG, ER_CANT_CREATE_HANDLER_FILE.
    1012, 1013, 1014, 1015, 1016, 1017, 1018, 1019, 1023, 1024, 1026, 1030, 1033, 1034, 1035, 1036, 1039, 1180, 1181, 1182, 1183, 1187, 1296, 1297, 1501,
    // Tables that are crashed or corrupt: ER_CRASHED_ON_USAGE, ER_CRASHED_ON_REPAIR,
    // ER_TABLE_NEEDS_UPGRADE, ER_TABLE_NEEDS_REBUILD, ER_INDEX_CORRUPT, ER_TABLESPACE_MISSING,
    // ER_TABLESPACE_DISCARDED, ER_INNODB_INDEX_CORRUPT, ER_TABLE_CORRUPT;
    // MariaDB's ER_NO_SUCH_TABLE_IN_ENGINE, ER_FILE_CORRUPT, ER_STORAGE_ENGINE_NOT_LOADED; MySQL's
    // ER_CANNOT_FIND_KEY_IN_KEYRING.
    1194, 1195, 1459, 1707, 1712, 1812, 1814, 1817, 1877, 1932, 1983, 1986, 3185,
    // Memory and threads: ER_OUTOFMEMORY, ER_OUT_OF_RESOURCES, ER_CANT_CREATE_THREAD,
    // ER_SLAVE_THREAD, ER_ZLIB_Z_MEM_ERROR; MariaDB's ER_ENGINE_OUT_OF_MEMORY.
    1037, 1041, 1135, 1202, 1257, 1998,
    // It does not let anybody in, or not so many: ER_CON_COUNT_ERROR, ER_BAD_HOST_ERROR,
    // ER_HANDSHAKE_ERROR, ER_HOST_IS_BLOCKED, ER_HOST_NOT_PRIVILEGED, ER_TOO_MANY_USER_CONNECTIONS,
    // ER_USER_LIMIT_REACHED, ER_MUST_CHANGE_PASSWORD, ER_MUST_CHANGE_PASSWORD_LOGIN; MySQL's
    // ER_SERVER_OFFLINE_MODE, ER_ACCOUNT_HAS_BEEN_LOCKED, ER_SECURE_TRANSPORT_REQUIRED; MariaDB's
    // ER_USER_IS_BLOCKED and ER_ACCOUNT_HAS_BEEN_LOCKED.
    1040, 1042, 1043, 1129, 1130, 1203, 1226, 1820, 1862, 3032, 3118, 3159, 4150, 4151,
    // It ends or begins: ER_SERVER_SHUTDOWN, ER_NORMAL_SHUTDOWN, ER_GOT_SIGNAL,
    // ER_SHUTDOWN_COMPLETE; MySQL's ER_SERVER_ISNT_AVAILABLE.
    1053, 1077, 1078, 1079, 3168,
    // It is read-only: ER_CANT_UPDATE_WITH_READLOCK, ER_OPTION_PREVENTS_STATEMENT,
    // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ER_READ_ONLY_MODE, ER_INNODB_READ_ONLY; MariaDB's
    // ER_BACKUP_LOCK_IS_ACTIVE.
    1223, 1290, 1792, 1836, 1874, 4145,
    // Replication, groups and logs: ER_UNKNOWN_COM_ERROR, by which a Galera node says that it is
    // not ready; ER_MASTER to ER_MASTER_NET_WRITE, ER_BINLOG_ROW_LOGGING_FAILED,
    // ER_BINLOG_LOGGING_IMPOSSIBLE, ER_BINLOG_STMT_MODE_AND_ROW_ENGINE, ER_XAER_RMERR;
    // MySQL's ER_ERROR_ON_MODIFYING_GTID_EXECUTED_TABLE.
    1047, 1188, 1189, 1190, 1534, 1598, 1665, 1401, 3176,
    // Passwords, and users that are gone: ER_ACCESS_DENIED_ERROR, ER_NO_SUCH_USER (a trigger's
    // definer), ER_ACCESS_DENIED_NO_PASSWORD_ERROR, ER_ACCESS_DENIED_CHANGE_USER_ERROR.
    1045, 1449, 1698, 1873,
];

// Statements' own errors that have the general state, outside the ranges in which everything else
// is a statement's. Of MySQL: those about generated columns
// (ER_NON_DEFAULT_VALUE_FOR_GENERATED_COLUMN, ER_UNSUPPORTED_ACTION_ON_GENERATED_COLUMN), hints,
// regular expressions (the ER_REGEXP group), foreign keys (ER_FK_CANNOT_DROP_PARENT,
// ER_FK_INCOMPATIBLE_COLUMNS), and ER_CHECK_CONSTRAINT_VIOLATED; of MariaDB: ER_CONSTRAINT_FAILED.
#[rustfmt::skip]
const STATEMENT_IN_GENERAL_STATE: &[u16] = &[
    3105, 3106, 3128,
    3684, 3685, 3686, 3687, 3688, 3689, 3690, 3691, 3692, 3693, 3694, 3695, 3696, 3697, 3698, 3699,
    3730, 3780, 3819, 4025,
];

/// The numbers that MySQL and MariaDB have in common, and MariaDB's first own: all that are the
/// server's fault are listed above.
const KNOWN: std::ops::Range<u16> = 1000..2000;

/// MariaDB's later own ones, which are about statements (window functions, sequences, JSON,
/// versioned tables), up to those of its release 11.
const KNOWN_OF_MARIADB: std::ops::Range<u16> = 4000..4200;

/// By the first two letters, the class, of
/// <https://mariadb.com/kb/en/sqlstate/> and <https://dev.mysql.com/doc/refman/8.0/en/signal.html>;
/// `signal` can give any state with any number. The general state with a number nobody knows is
/// the server's.
fn by_state(number: u16, state: &str) -> Kind {
    match state {
        // Query execution was interrupted; a time limit.
        "70100" | "HYT00" => return Kind::StatementUndone,
        // The session or the transaction is read-only.
        "25006" => return Kind::ServerUnable,
        GENERAL_ERROR if KNOWN.contains(&number) || KNOWN_OF_MARIADB.contains(&number) => {
            return Kind::Statement;
        }
        _ => {}
    }
    match state.get(..2).unwrap_or_default() {
        "08" => Kind::NoConnection,
        "40" => Kind::TransactionEnded,
        // Invalid authorization; insufficient resources, disk full; operator intervention; system
        // error; the general state and what the driver's interface has beside it, such as memory.
        "28" | "53" | "57" | "58" | "HY" => Kind::ServerUnable,
        // XA: rolled back, or not.
        "XA" if state.starts_with("XA1") => Kind::TransactionEnded,
        _ => Kind::Statement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_more_than_a_state() {
        assert_eq!(kind(1021, Some("45000")), Kind::ServerUnable);
        assert_eq!(kind(1062, Some("23000")), Kind::Duplicate);
        assert_eq!(kind(1644, Some("45000")), Kind::Statement);
        assert_eq!(kind(1644, Some("08S01")), Kind::NoConnection);
        assert_eq!(kind(1644, Some("40001")), Kind::TransactionEnded);
        assert_eq!(kind(1644, Some("HY001")), Kind::ServerUnable);
    }

    #[test]
    fn what_nobody_knows_is_the_servers() {
        assert_eq!(kind(3999, Some("HY000")), Kind::ServerUnable);
        assert_eq!(kind(13_000, None), Kind::ServerUnable);
        assert_eq!(kind(3999, Some("22032")), Kind::Statement, "a statement's data");
        assert_eq!(kind(1366, Some("HY000")), Kind::Statement, "a number that is known");
    }
}
