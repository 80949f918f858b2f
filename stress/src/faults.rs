//! The survival program: workers on a database that fails in every way a database and a handler
//! fail, one after the other and several at once.
//!
//! Writers commit events with rows of their own, and some of their futures are dropped. Workers, in
//! processes of their own that are killed and in this process with futures that are dropped, run
//! two projections. Between them and the server are proxies that fall silent. The server is
//! restarted, read-only, full, locked, and ends sessions. Handlers hang, block their connection,
//! panic, abort their process, and hide the database's errors in three errors of their own. When all
//! that is over, everything that was committed must have been handled once and in order, but for the
//! events that were planted to be parked.

mod account;
mod calm;
mod child_seat;
mod counts;
mod database;
mod evidence;
mod gate;
mod hidden_error;
mod injector;
mod inner_seat;
mod ledger;
mod mysql;
mod outcome;
mod planter;
mod postgres;
mod projection;
mod proxy;
mod run;
mod seat;
mod server;
mod sqlite;
mod takeover;
mod temper;
mod whole;
mod worker;
mod writer;

use std::time::Duration;

use es::PartitionCount;

pub(crate) use self::database::Faulty;
pub(crate) use self::run::run;
pub(crate) use self::worker::run as run_worker;

/// How long a partition stays with a worker that is not heard of.
const LEASE: Duration = Duration::from_millis(1500);

/// How often a worker looks around.
const POLL: Duration = Duration::from_millis(300);

/// What a machine that has other things to do may add to a takeover.
const SLACK: Duration = Duration::from_secs(1);

/// How long a partition may be without a worker after its own is dead or cannot be reached.
fn takeover_max<B: Faulty>() -> Duration {
    LEASE + POLL + B::TIME_MAX + SLACK
}

/// How long a fault that lasts lasts at least: longer than anything may take.
const SPELL: Duration = Duration::from_millis(2500);

/// How long a worker that is told to stop may take.
const STOP_MAX: Duration = Duration::from_secs(10);

/// How long a process may take to stop its worker and to look whether its pool is whole.
const LEAVE_MAX: Duration = Duration::from_secs(30);

/// The projections, and how many partitions each has.
const PROJECTIONS: [(&str, PartitionCount); 2] =
    [("left", PartitionCount::of(4)), ("right", PartitionCount::of(3))];

/// How many workers are processes of their own, and how many run in this one.
const CHILDREN: usize = 2;
const INNER: usize = 2;

/// How many connections a worker may have.
const WORKER_CONNECTIONS_MAX: u32 = 10;
