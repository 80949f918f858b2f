//! Event sourcing inside the caller's own sqlx transaction, on MySQL and MariaDB.
//!
//! [`MySqlEventStore`] appends and reads on any `&mut MySqlConnection`: `&mut *tx` of a
//! transaction, `&mut conn` of a plain or a pooled connection. [`MySqlSource`] pairs it with a
//! pool for projections. The schema comes from `migrate-gen --database mysql`.
//!
//! Written for MySQL 8.0.16 and MariaDB 10.6 or later by their manuals, and tested on MariaDB
//! 10.11. No test has run on MySQL yet.
//!
//! # Appending
//!
//! An append takes two round trips, three where a statement is used for the first time on its
//! connection: one that looks whether a transaction is open, reads the stream's version and
//! announces the append, and one that inserts. An append of more than 16 events that takes more
//! than 256 KiB, of which each event's fixed part is 256 bytes, is prepared each time: that is
//! three, and the next statement on the connection may wait 40 ms, since sqlx does not set
//! `TCP_NODELAY`.
//!
//! A version conflict is known after the first round trip, unless another writer comes in between;
//! either way it writes nothing and the transaction goes on.
//!
//! **Append inside a transaction.** Outside one the announcement would be committed before
//! positions are drawn, and readers could skip events; the store refuses with
//! [`StoreError::NoTransaction`](es::StoreError::NoTransaction).
//!
//! **After a deadlock the transaction is gone.** With errors 1213 and 1020 the server rolls the
//! whole transaction back and ends it, and the next statement on the connection commits by
//! itself. Such an error says
//! [`TransactionState::Ended`](es::TransactionState::Ended): drop the transaction and begin another.
//! A further append on that connection is refused, unless autocommit is off; statements of your own
//! are not. A projection's handler must therefore return the errors it gets: if it hides one of these, its processor
//! stops and saves no checkpoint, but what the handler wrote in between is committed.
//!
//! **READ COMMITTED is the better level for transactions that append.** REPEATABLE READ, the
//! server's default, keeps every promise, but a snapshot that is older than another writer's
//! commit cannot show what it wrote: an append to [`ExpectedVersion::Any`](es::ExpectedVersion)
//! then asks for a new transaction, a reload of the stream must run in a new one, and the horizon
//! may wait for more than it must. By MySQL's manual an insert that is undone can lock a gap at the
//! end of the table as well. SERIALIZABLE is correct and makes appenders wait for each other, and
//! deadlock. READ UNCOMMITTED is refused where the session is set to it; do not ask for it with a
//! `set transaction` of your own, because an append would then count on versions that may be rolled
//! back. [`MySqlSource`] begins its transactions in READ COMMITTED, which a server whose binary log
//! has the format STATEMENT does not let write.
//!
//! An append whose insert would exceed `max_allowed_packet` is refused before it is sent:
//! MariaDB's default of 16 MiB is less than the largest payload.
//!
//! Savepoints and user variables whose names begin with `es_` are the library's own.
//!
//! # Dropped futures and time limits
//!
//! A future of sqlx 0.9 that is dropped in the middle of an answer (by a timeout, or a web
//! framework whose client went away) leaves its connection there: the header of a packet is read
//! and its body is not, and what is read next is taken for a header. Given back to its pool, the
//! connection is tested, the test never returns, and the pool has one connection less for good.
//! Nothing that is given only `&mut MySqlConnection` can cure that, so **`append` and every read on
//! a connection of your own are not cancel safe**: after dropping one, do not give the connection
//! back, but close it (`PoolConnection::close_on_drop`, `detach`), or let the work run to its end in
//! a task of its own.
//!
//! Transactions and connections of [`MySqlSource`] are cancel safe: dropped in the middle of
//! something they are closed, and the server rolls back. `source.begin()`, `append(&mut tx, …)`,
//! `source.commit(tx)` is the way to append in a request that can be dropped.
//!
//! The server itself ends a transaction of [`MySqlSource`] whose client hangs: on MariaDB by
//! `idle_transaction_timeout` and `max_statement_time`, on MySQL by `wait_timeout` and, for selects,
//! `max_execution_time`; on both by `innodb_lock_wait_timeout` and `lock_wait_timeout`, which get half
//! of the time, so that a row or a table that another session has locked is not taken for a handler
//! that hangs. They are whole seconds, rounded up: with a limit of 1 s the half is 1 s too. They are
//! the session's variables, made smaller for the transaction and put back when it ends.
//!
//! # Reading the log
//!
//! Positions are drawn before transactions commit, so the log is read up to a horizon, below
//! which nothing can still appear. InnoDB has no lock that ends with a transaction and that others
//! can see; instead each connection announces its appends in a row of its own, in the table
//! `events_appenders`, before it draws positions. A reader that sees another version of that row
//! in READ UNCOMMITTED than in READ COMMITTED knows that its transaction is open. Appenders never
//! wait for each other, unless they append to one stream. A transaction that has appended and stays open holds the projections back,
//! and [`Horizon::held_by`](es::Horizon::held_by) names its connection, as `kill` takes it, and says
//! how long ago it appended. Rows that were not used for an hour are removed by readers that may
//! delete them.
//!
//! A poll is one round trip, and so is a read; a log without holes is read without a poll. Read
//! on connections that
//!
//! - reach the primary: a replica does not know who is appending. A server that is read-only, or
//!   that has less of the log than the one that was asked for the horizon, is refused; a replica
//!   that can be written to is not noticed;
//! - are outside a transaction: inside one the log is not read, but refused with
//!   [`StoreError::UnsafeRead`](es::StoreError::UnsafeRead). The session's isolation level does not
//!   matter.
//!
//! Galera clusters and replication groups with several primaries are not supported, because their
//! nodes do not show each other who is appending;
//! [`check_schema`](es::EventStore::check_schema) refuses them.
//!
//! Positions must come from the table's own counter: do not insert events with positions of your
//! own, and do not set the counter back.
//!
//! # Settings
//!
//! The session's character sets of statements and connection must be utf8mb4, as sqlx makes them,
//! and its `unique_checks` on; else appends and the start check are refused. What is read of the
//! log is the same in any character set of results, but the start check refuses others than
//! utf8mb4, because of the other names. The session's `sql_mode`, collation, time zone, `completion_type` and
//! limit of rows do not matter. Times are kept in UTC, to the microsecond.
//!
//! With `autocommit` off, appends and reads are the same, and what [`MySqlSource`] writes outside a
//! transaction is committed at once all the same: the source asks its first connection, and if
//! autocommit is off there, it switches it on in each connection that it borrows and off again
//! before it gives the connection back, two more round trips. So let all sessions of a pool have the
//! same. If you call [`ProjectionStore`](es::adapter::ProjectionStore) on a connection of your own with
//! autocommit off, the commit is yours.
//!
//! On MySQL, [`horizon`](es::EventStore::horizon) sees the counter of the events table as it was up
//! to a day ago, unless `information_schema_stats_expiry` is 0. It is looked at after the last
//! events of the log were deleted; with an old one, projections stop until somebody appends.
//!
//! Without a binary log, InnoDB shows a commit to others before it is on disk, so what a projection
//! did *elsewhere* may outlive an event that a power cut takes; what it did in the same database
//! cannot. sqlx's pool pings a connection before it hands it out, a hidden round trip before
//! each transaction: `MySqlPoolOptions::test_before_acquire(false)` switches it off.
//!
//! # What a user who may only read can do
//!
//! InnoDB lets a user with the right `select` lock what is read (`lock in share mode`). In the events'
//! table that makes appends wait, in those of the projections it makes workers wait, until the
//! transaction ends. `idle_transaction_timeout` ends it if it is forgotten. Let users who only look read a
//! replica.
//!
//! # Capabilities
//!
//! Of the capabilities that `es::conformance` lists this store has
//! `append_inside_transactions_only` and `concurrent_appenders`.
//!
//! # Examples
//!
//! In the directory `examples` of this package, one topic each: `append` in your own transaction,
//! `conflict`, `projection`, `worker`, `read_your_writes`, `import`, `dead_letters`. To run one:
//! `cargo run -p es-mysql --example mysql_append -- mysql://user@host/empty_database`.
//!
//! ```no_run
//! use es::{Event, EventStore, ExpectedVersion, StreamId};
//! use es_mysql::{MySqlEventStore, sqlx};
//!
//! # async fn example(pool: sqlx::MySqlPool) -> Result<(), Box<dyn std::error::Error>> {
//! let store = MySqlEventStore::default();
//! let order = StreamId::new("Sales", "Order", "order-1")?;
//! let placed = Event::json("OrderPlaced", &4200)?;
//!
//! let mut tx = pool.begin().await?;
//! sqlx::query("insert into orders (id, total) values ('order-1', 4200)").execute(&mut *tx).await?;
//! store.append(&mut tx, &order, ExpectedVersion::NoStream, &[placed]).await?;
//! tx.commit().await?;
//! # Ok(())
//! # }
//! ```

mod error;
mod horizon;
mod record;
mod rows;
mod schema;
mod size;
mod source;
mod sql;
mod statements;
mod store;
mod time_limits;

pub use source::MySqlSource;
pub use sqlx;
pub use store::MySqlEventStore;
