//! Event sourcing inside the caller's own sqlx transaction, on SQLite.
//!
//! [`SqliteEventStore`] appends and reads on any `&mut SqliteConnection`: `&mut *tx` of a
//! transaction, `&mut conn` of a plain or a pooled connection. [`SqliteSource`] pairs it with a
//! pool for projections. The schema comes from `migrate-gen --database sqlite`.
//!
//! # What to set on the connection
//!
//! - **WAL**, so that readers and the writer do not block each other
//!   (`SqliteConnectOptions::journal_mode(SqliteJournalMode::Wal)`).
//! - **A busy timeout**, because writers wait for each other (sqlx sets five seconds).
//! - **`BEGIN IMMEDIATE`** for every transaction that will append:
//!   `pool.begin_with("BEGIN IMMEDIATE")`. A transaction that begins with a plain `BEGIN`, reads,
//!   and only then writes fails with `SQLITE_BUSY` if another connection wrote in between, and no
//!   busy timeout helps it. The store reports that as [`es::StoreError::Retryable`].
//!
//! Appending outside a transaction works: the append is one statement. SQLite has one writer at
//! a time, so of the capabilities that `es::conformance` lists this store has
//! `append_outside_a_transaction` and lacks `concurrent_appenders`.
//!
//! sqlx's pool pings a connection before it hands it out (`test_before_acquire`); switch that
//! off for SQLite, where it buys nothing.
//!
//! # Errors that end the transaction
//!
//! On a full disk, an I/O error, `on conflict rollback`, an interrupted statement and a few others
//! SQLite rolls the whole transaction back by itself. [`es::StoreError::transaction`] then says
//! [`Ended`](es::TransactionState::Ended): what is sent next would commit by itself, so drop the
//! transaction. sqlx goes on to count it as open, and the connection is useless to the next who takes it
//! from the pool; [`restore`] makes it usable, by itself if the pool is told so.
//!
//! # Dropped futures
//!
//! Any future may be dropped, by a timeout or a web framework whose client went away: those of the
//! store, of [`SqliteSource`], and with sqlx 0.9 those of a pool, a connection or a transaction of
//! your own. A transaction is rolled back if the future that begins it is dropped, or if it is
//! dropped before its commit has begun; whether a commit whose future was dropped has happened,
//! nobody knows, and repeating the append with the same event ids tells.
//!
//! The statement whose future was dropped goes on in SQLite, and who takes the connection next waits
//! until it has ended. One in a transaction of [`SqliteSource`] is interrupted instead.
//!
//! # Examples
//!
//! In the directory `examples` of this package, one topic each: `append` in your own transaction,
//! `conflict`, `projection`, `worker`, `read_your_writes`, `import`, `dead_letters`; and `quickstart`.
//! To run one: `cargo run -p es-sqlite --example sqlite_append -- target/orders.db`.
//!
//! ```
//! use es::{Event, EventStore, ExpectedVersion, StreamId};
//! use es_sqlite::{SqliteEventStore, sqlx};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let pool = sqlx::sqlite::SqlitePoolOptions::new()
//!     .max_connections(1)
//!     .connect("sqlite::memory:")
//!     .await?;
//! # let migration = migrate_gen::Schema::new(migrate_gen::Database::Sqlite).to_sql()?;
//! # sqlx::raw_sql(sqlx::AssertSqlSafe(migration)).execute(&pool).await?;
//! # sqlx::raw_sql("create table orders (id text, total integer)").execute(&pool).await?;
//! let store = SqliteEventStore::default();
//!
//! let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
//! sqlx::query("insert into orders (id, total) values ('order-1', 4200)").execute(&mut *tx).await?;
//! let order = StreamId::new("Sales", "Order", "order-1")?;
//! let placed = Event::json("OrderPlaced", &4200)?;
//! store.append(&mut tx, &order, ExpectedVersion::NoStream, &[placed]).await?;
//! tx.commit().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod abandoned;
mod clock;
mod ended;
mod error;
mod record;
mod rows;
mod schema;
mod source;
mod sql;
mod statements;
mod store;
mod transaction;

pub use abandoned::restore;
pub use source::SqliteSource;
pub use sqlx;
pub use store::SqliteEventStore;
pub use transaction::SqliteTransaction;
