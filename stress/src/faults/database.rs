//! What the survival program needs of a database beside what every stress needs: its faults.

use std::future::Future;
use std::time::Duration;

use es::PersistedEvent;
use nix::sys::signal::Signal;
use uuid::Uuid;

use crate::backend::Backend;
use crate::sighting::SightingRow;

/// A fault that is done to the database, the connections or the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server ends in order and comes back.
    Restart,
    /// The server ends at once and recovers.
    Crash,
    ReadOnly,
    FullDisk,
    /// Somebody locks the table of the effects for longer than a statement may take.
    LockEffects,
    /// Somebody locks the checkpoints for longer than a statement may take.
    LockCheckpoints,
    /// What is sent on the connections that are open now gets lost; new ones work.
    Silence,
    /// New connections are accepted, and never answered.
    NoAnswer,
    /// An administrator ends sessions.
    Disconnect,
    /// A worker's process is killed.
    KillWorker,
    /// A worker cannot be reached, in the middle of a batch.
    SilenceWorker,
}

impl Fault {
    /// Whether a partition must be taken over, which is measured while nothing else happens.
    pub(crate) fn is_measured(self) -> bool {
        matches!(self, Fault::KillWorker | Fault::SilenceWorker)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::Restart => "server restarts",
            Fault::Crash => "server crashes",
            Fault::ReadOnly => "read-only spells",
            Fault::FullDisk => "full disks",
            Fault::LockEffects => "locked tables",
            Fault::LockCheckpoints => "locked checkpoints",
            Fault::Silence => "silent connections",
            Fault::NoAnswer => "unanswered connections",
            Fault::Disconnect => "ended sessions, times",
            Fault::KillWorker => "killed workers",
            Fault::SilenceWorker => "silent workers, caught in a batch",
        }
    }
}

/// Faults of a database. Errors are the driver's own; who calls tries again.
pub(crate) trait Faulty: Backend {
    /// What can be done to it, beside restarts.
    const FAULTS: &'static [Fault];

    /// How long an event, a statement or a pause in a transaction may take.
    const TIME_MAX: Duration = Duration::from_secs(2);

    /// What ends a server of it in order, and what ends it at once.
    const SIGNALS: (Signal, Signal);

    /// As [`open`](Backend::open), for workers and writers, who are to see the faults.
    fn open_faulty(
        url: &str,
        store: &str,
        connections_max: u32,
    ) -> impl Future<Output = anyhow::Result<Self>> + Send {
        Self::open(url, store, connections_max)
    }

    /// The URL with which workers and writers connect to a store, who may do no more than they need.
    fn user_url(url: &str, _store: &str) -> String {
        url.to_owned()
    }

    /// Makes the tables and triggers of this program, after all others.
    fn create_faulty(&self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// A writer's own row for an event.
    fn insert_own_row(
        conn: &mut Self::Connection,
        event_id: Uuid,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Notes that a projection was given an event.
    fn note_effect(
        conn: &mut Self::Connection,
        projection: &str,
        event: &PersistedEvent,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// A statement that takes much longer than any may.
    fn sleep(conn: &mut Self::Connection) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// A statement that does nothing.
    fn ping(conn: &mut Self::Connection) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// The events a projection has noted, in order.
    fn noted(
        &self,
        projection: &str,
    ) -> impl Future<Output = Result<Vec<SightingRow>, sqlx::Error>> + Send;

    /// The events that writers have written rows of their own for.
    fn own_rows(&self) -> impl Future<Output = Result<Vec<Uuid>, sqlx::Error>> + Send;

    fn set_read_only(
        &self,
        is_read_only: bool,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    fn set_full(&self, is_full: bool) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Locks what the fault says for so long.
    fn lock(
        &self,
        fault: Fault,
        time: Duration,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Ends about half of the sessions; gives how many.
    fn disconnect_some(&self) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// How many transactions are open that anybody but this connection has begun.
    fn open_transactions(&self) -> impl Future<Output = Result<i64, sqlx::Error>> + Send;
}
