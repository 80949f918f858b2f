//! The statements about projections: their files, and the columns of their answers.

use crate::schema::{SqlName, TableNames};

/// What a column of an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number of any width.
    Integer,
    /// Text, without the database's own rules of comparing it.
    Text,
    /// True or false, however the database writes that.
    Flag,
    /// A point in time, to the microsecond.
    Time,
}

/// A column of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name in the answer.
    pub name: &'static str,
    /// What it holds, if it is not null.
    pub kind: Kind,
}

/// Names every statement, with its file below an adapter's `sql/projections/` and the columns of
/// its answer: the only list of them.
#[doc(hidden)]
#[macro_export]
macro_rules! each_statement {
    ($then:ident $($argument:tt)*) => {
        $crate::statement_list! { $then [$($argument)*]
            Checkpoints "checkpoints.sql"
                [partition_index Integer, partition_total Integer, position Integer];
            CheckpointSettings "checkpoint_settings.sql"
                [partition_total Integer, is_paused Flag, has_dead_letters Flag];
            Claim "claim.sql" [];
            Claimable "claimable.sql" [epoch Integer];
            DeadLetterCounts "dead_letter_counts.sql"
                [partition_index Integer, dead_letters Integer];
            DeadLetterQueue "dead_letter_queue.sql"
                [position Integer, bounded_context Text, aggregate_type Text, aggregate_id Text,
                attempts Integer, error Text, parked_at Time];
            DeadLetters "dead_letters.sql"
                [position Integer, bounded_context Text, aggregate_type Text, aggregate_id Text,
                attempts Integer, error Text, parked_at Time];
            DeletePartitions "delete_partitions.sql" [];
            DeleteProjection "delete_projection.sql" [];
            DeleteWorkers "delete_workers.sql" [];
            Heartbeat "heartbeat.sql" [];
            Leave "leave.sql" [];
            LockCheckpoint "lock_checkpoint.sql"
                [position Integer, epoch Integer, replay_until Integer, stop_at Integer,
                attempts Integer, failing_position Integer, is_attempt_open Flag];
            LockPartitions "lock_partitions.sql"
                [partition_index Integer, partition_total Integer, position Integer, epoch Integer,
                replay_until Integer, stop_at Integer, owner Text, lease_left Integer,
                attempts Integer, last_error Text, failing_position Integer];
            LockProjection "lock_projection.sql"
                [name Text, partition_total Integer, is_paused Flag, rescale_to Integer];
            ParkedStreams "parked_streams.sql"
                [bounded_context Text, aggregate_type Text, aggregate_id Text];
            PartitionTotal "partition_total.sql" [partition_total Integer];
            Partitions "partitions.sql"
                [partition_index Integer, partition_total Integer, position Integer, epoch Integer,
                replay_until Integer, stop_at Integer, owner Text, lease_left Integer,
                attempts Integer, last_error Text, failing_position Integer];
            Projections "projections.sql"
                [name Text, partition_total Integer, is_paused Flag, rescale_to Integer];
            PutDeadLetters "put_dead_letters.sql" [];
            RecordAttempt "record_attempt.sql" [];
            RegisterCheckpoints "register_checkpoints.sql" [];
            RegisterProjection "register_projection.sql" [];
            Release "release.sql" [];
            RemoveDeadLetters "remove_dead_letters.sql" [];
            RemoveDeadLettersAfter "remove_dead_letters_after.sql" [];
            Renew "renew.sql" [];
            RewritePartitions "rewrite_partitions.sql" [];
            SaveCheckpoint "save_checkpoint.sql" [];
            SaveProjection "save_projection.sql" [];
            Workers "workers.sql" [worker_id Text];
        }
    };
}

/// What is made of the list.
#[doc(hidden)]
#[macro_export]
macro_rules! statement_list {
    (declare [] $($name:ident $file:literal [$($column:ident $kind:ident),*];)*) => {
        /// A statement about projections, of which each adapter has a file of SQL.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each file says what its statement does")]
        pub enum Statement {
            $($name,)*
        }

        impl Statement {
            /// All of them.
            pub const ALL: &'static [Statement] = &[$(Statement::$name),*];

            /// The name of its file.
            pub const fn file(self) -> &'static str {
                match self {
                    $(Statement::$name => $file,)*
                }
            }

            /// The columns of its answer, in order; none if it is one that changes rows.
            pub const fn columns(self) -> &'static [Column] {
                match self {
                    $(Statement::$name => &[
                        $(Column { name: stringify!($column), kind: Kind::$kind }),*
                    ],)*
                }
            }
        }
    };
    (sql [$directory:literal] $($name:ident $file:literal $columns:tt;)*) => {
        |statement: $crate::adapter::Statement| match statement {
            $($crate::adapter::Statement::$name => include_str!(concat!($directory, $file)),)*
        }
    };
}

each_statement!(declare);

/// An adapter's SQL files, as a function from [`Statement`](crate::adapter::Statement) to the
/// file's text: the directory is relative to the file this is written in, and ends with a slash.
#[macro_export]
macro_rules! projection_sql {
    ($directory:literal) => {
        $crate::each_statement!(sql $directory)
    };
}

/// One value for each statement, such as its SQL with a store's table names in it.
#[derive(Debug, Clone)]
pub struct PerStatement<T>(Vec<T>);

impl<T> PerStatement<T> {
    /// Makes each value.
    pub fn new(make: impl Fn(Statement) -> T) -> Self {
        PerStatement(Statement::ALL.iter().map(|statement| make(*statement)).collect())
    }

    /// The value for a statement.
    pub fn of(&self, statement: Statement) -> &T {
        &self.0[statement as usize]
    }
}

/// A statement's SQL with the names of a store's tables in the places that its file leaves for
/// them, each as `quoted` writes it.
pub fn with_tables(sql: &str, tables: &TableNames, quoted: impl Fn(&SqlName) -> String) -> String {
    let (workers, dead_letters) = (tables.workers(), tables.dead_letters());
    let places = [
        ("{projections}", tables.projections()),
        ("{checkpoints}", tables.checkpoints()),
        ("{workers}", &workers),
        ("{dead_letters}", &dead_letters),
    ];
    let put = |sql: String, (place, name)| sql.replace(place, &quoted(name));
    places.into_iter().fold(sql.to_owned(), put)
}
