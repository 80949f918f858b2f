//! What this program needs of a database beside the event store: its own tables, in its own SQL.
//!
//! One implementation for each database holds SQL text and driver calls; everything that decides
//! is generic over this trait and written once.

use std::future::Future;
use std::ops::DerefMut;
use std::sync::Arc;

use es::EventSource;

use crate::file_changed::FileChanged;
use crate::repository::CommitParents;

/// One for each of the four workers, one for the progress bar.
pub(crate) const CONNECTIONS_MAX: u32 = 5;

/// A database that holds the events and this program's own tables.
///
/// Errors are the driver's own, so that the processor can ask the source whether to retry.
pub(crate) trait Backend: Send + Sync + Sized + 'static {
    type Connection: Send + 'static;
    type Transaction: DerefMut<Target = Self::Connection> + Send;
    type Source: EventSource<Connection = Self::Connection>;

    /// What `migrate-gen --database` calls it.
    const NAME: &str;

    /// Whether a table that was made is gone when something fails after it.
    const TAKES_BACK_TABLES: bool = true;

    /// Connects. `url` begins with the scheme of this database.
    fn open(url: &str) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// The event store and the pool, for the projection.
    fn source(&self) -> &Arc<Self::Source>;

    /// Makes this program's own tables, those that are not there.
    fn create_tables(&self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Runs a file of SQL, all of it or nothing if the database
    /// [can](Backend::TAKES_BACK_TABLES).
    fn run_file(&self, sql: String) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Begins a transaction of this program's own, not of the event store.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, sqlx::Error>> + Send;

    fn commit(
        transaction: Self::Transaction,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    fn insert_commit(
        conn: &mut Self::Connection,
        commit: &CommitRow<'_>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Adds one event to the statistics of its file.
    fn add_file_change(
        conn: &mut Self::Connection,
        path: &str,
        change: &FileChanged,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// The commits that are in the database.
    fn commits(&self) -> impl Future<Output = Result<CommitParents, sqlx::Error>> + Send;

    /// Each commit's hash, number of events and number of refused changes.
    fn commit_counts(
        &self,
    ) -> impl Future<Output = Result<Vec<(String, i64, i64)>, sqlx::Error>> + Send;

    /// Each file's path, number of events and highest version, as the event store has them.
    fn stream_lengths(
        &self,
    ) -> impl Future<Output = Result<Vec<(String, i64, i64)>, sqlx::Error>> + Send;

    fn file_stats(&self) -> impl Future<Output = Result<Vec<FileStatsRow>, sqlx::Error>> + Send;

    /// Every path with every one of its authors.
    fn file_authors(
        &self,
    ) -> impl Future<Output = Result<Vec<(String, String)>, sqlx::Error>> + Send;

    /// The statistics of the files with most changes, and the number of their authors.
    fn most_changed(
        &self,
        files_max: u32,
    ) -> impl Future<Output = Result<Vec<(FileStatsRow, i64)>, sqlx::Error>> + Send;

    /// How many events have been added to the statistics of all files.
    fn changes_projected(&self) -> impl Future<Output = Result<i64, sqlx::Error>> + Send;
}

/// A row of the table `commits`.
pub(crate) struct CommitRow<'a> {
    pub(crate) hash: &'a str,
    /// Empty for a root commit.
    pub(crate) parent: &'a str,
    pub(crate) author: &'a str,
    /// How many events were appended with it.
    pub(crate) events: i64,
    /// How many changes became no event, because no stream can have the path's name.
    pub(crate) refused: i64,
}

/// A row of the table `file_stats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileStatsRow {
    pub(crate) path: String,
    pub(crate) changes: i64,
    /// How many of the changes git took for binary; they count no lines.
    pub(crate) binary_changes: i64,
    pub(crate) added: i64,
    pub(crate) deleted: i64,
}

impl FileStatsRow {
    /// From the columns in the order the fields have here.
    pub(crate) fn from_columns(
        (path, changes, binary_changes, added, deleted): (String, i64, i64, i64, i64),
    ) -> Self {
        FileStatsRow { path, changes, binary_changes, added, deleted }
    }

    /// The same with the number of the file's authors as the last column.
    pub(crate) fn from_columns_and_authors(
        (path, changes, binary_changes, added, deleted, authors): (String, i64, i64, i64, i64, i64),
    ) -> (Self, i64) {
        (FileStatsRow { path, changes, binary_changes, added, deleted }, authors)
    }
}
