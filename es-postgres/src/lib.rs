//! Event sourcing inside the caller's own sqlx transaction, on PostgreSQL.
//!
//! [`PgEventStore`] appends and reads on any `&mut PgConnection`: `&mut *tx` of a transaction,
//! `&mut conn` of a plain or a pooled connection. [`PgSource`] pairs it with a pool for
//! projections. The schema comes from `migrate-gen --database postgres`.
//!
//! # Appending
//!
//! An append is one statement and one round trip, for any number of events, inside a transaction
//! or outside. (The first use of a statement on a connection prepares it: one more.) A version
//! conflict writes nothing and raises no error on the server, so the transaction goes on.
//!
//! In READ COMMITTED, PostgreSQL's default, a writer that loses a race waits for the winner and
//! then sees a conflict. In REPEATABLE READ and SERIALIZABLE the server ends such a transaction
//! with SQLSTATE 40001, which is reported as [`StoreError::Retryable`](es::StoreError::Retryable):
//! roll back and run the transaction again. Two transactions that append to the same streams in
//! opposite order deadlock, and one of them gets the same error.
//!
//! # Importing
//!
//! [`EventStore::import`](es::EventStore::import) writes by COPY, inside a transaction only, and
//! asks for the version of each stream when it first meets it. An event id that is taken, or a
//! writer that comes first to one of the streams, ends the transaction: roll it back. Close the
//! connection after dropping the future of an import: it may be in the middle of a COPY.
//!
//! After a large import, `analyze` the table, or wait a minute for autovacuum to do so: without
//! statistics PostgreSQL plans the reads of the log with a sort, and they take nearly twice as long.
//!
//! # Dropped futures
//!
//! A timeout, or a web framework whose client went away, drops futures. With sqlx 0.9 it depends on
//! the future whether its connection can be used afterwards:
//!
//! - **`pool.begin()` and `conn.begin()` are not cancel safe.** If the future is dropped before the
//!   server has answered, sqlx does not know of the transaction and never ends it. Its connection
//!   goes back to the pool with it, and passes the pool's test. What is appended on it later without
//!   a transaction is never committed, and lost without an error.
//! - **Nor is `tx.begin()`**, a savepoint: sqlx then rolls the whole transaction back, and what `tx`
//!   is asked to do next is committed by itself. Drop `tx`, too.
//! - Nor is [`import`](es::EventStore::import), see above.
//! - `append`, every read, `commit` and `rollback` leave a connection that can be used: a
//!   transaction that is dropped is rolled back. Whether an append outside a transaction, or a
//!   commit, whose future was dropped has happened, nobody knows; repeating the append with the same
//!   event ids tells.
//!
//! Transactions and connections of [`PgSource`] are cancel safe: dropped in the middle of something
//! they are closed, and the server rolls back. `source.begin()`, `append(&mut tx, …)`,
//! `source.commit(tx)` is the way to append in a request that can be dropped. Call
//! `source.rollback(tx)` where you give up, because dropping `tx` costs the pool a connection.
//!
//! # Reading the log
//!
//! Positions are drawn before transactions commit, so the log is read up to a horizon, below
//! which nothing can still appear. Every append registers itself with a shared advisory lock that
//! names a position below all it will draw; the horizon is the lowest of those, or the last
//! position drawn. A transaction that has appended and stays open therefore holds the projections
//! back, and [`Horizon::held_by`](es::Horizon::held_by) says which one it is. (One that repeated a
//! stored append, or lost a race for a version, does so too.) A transaction that has not appended
//! holds nothing, however long it is open and whatever it writes.
//!
//! Read the log on connections that
//!
//! - reach the primary: a hot standby has no advisory locks;
//! - are in READ COMMITTED: a snapshot taken before the horizon was read would skip events.
//!
//! A horizon asked for on any other connection is
//! [`StoreError::UnsafeRead`](es::StoreError::UnsafeRead). All connections of a [`PgSource`] must
//! lead to the same server: no balancer that sends reads elsewhere, and no logical replica.
//!
//! # What a hostile role can do
//!
//! Any role that can connect may take advisory locks, also without a right to a table. Such a lock
//! is ignored, with a warning that names the session, if its key is below every position or its
//! session is in no transaction. Inside an open transaction it looks like an append's: with the key
//! of an early position it holds the projections back until the transaction ends, and
//! [`Horizon::held_by`](es::Horizon::held_by) names the session to end. An exclusive lock with the key
//! of the last position makes every append wait, which `pg_blocking_pids` explains. Neither can make
//! a reader skip an event. To rule them out, revoke `execute` on the `pg_advisory…` functions from
//! `public` and grant it to the roles of the application.
//!
//! # Poolers
//!
//! sqlx prepares statements by name. A PgBouncer in transaction mode must know how to carry those
//! over (version 1.21, `max_prepared_statements`). With an older one use
//! [`PgEventStore::with_unnamed_statements`], inside transactions only, where the pooler keeps to
//! one server; projections then need a direct connection. (`statement_cache_capacity(0)` does not
//! help: sqlx 0.9 names its statements all the same.)
//!
//! sqlx's pool pings a connection before it hands it out, a hidden round trip before each
//! transaction: `PgPoolOptions::test_before_acquire(false)` switches it off.
//!
//! # Capabilities
//!
//! Of the capabilities that `es::conformance` lists this store has both
//! `append_outside_a_transaction` and `concurrent_appenders`.
//!
//! # Examples
//!
//! In the directory `examples` of this package, one topic each: `append` in your own transaction,
//! `conflict`, `projection`, `worker`, `read_your_writes`, `import`, `dead_letters`. To run one:
//! `cargo run -p es-postgres --example postgres_append -- postgres://user@host/empty_database`.
//!
//! ```no_run
//! use es::{Event, EventStore, ExpectedVersion, StreamId};
//! use es_postgres::{PgEventStore, sqlx};
//!
//! # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
//! let store = PgEventStore::default();
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

mod copy_row;
mod error;
mod event_row;
mod horizon;
mod import;
mod notifications;
mod record;
mod rows;
mod schema;
mod send;
mod source;
mod sql;
mod sqlstate;
mod statements;
mod store;

pub use notifications::PgNotifications;
pub use source::PgSource;
pub use sqlx;
pub use store::PgEventStore;
