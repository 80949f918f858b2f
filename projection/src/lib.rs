//! Exactly-once projections over an event store.
//!
//! A [`Projection`] turns events into rows. A [`Processor`] runs projections: it reads a batch of
//! events, handles them in a transaction, moves the checkpoint in that same transaction, and
//! commits. Start it in as many processes as you like: each claims its share of the partitions by
//! lease. An [`Operator`] looks, pauses, resets, rescales, retries dead letters.
//!
//! **In the same database, effects are exactly once**: rows and checkpoint commit together, and
//! a second worker on the same partition finds the checkpoint moved and rolls back. **Effects
//! elsewhere** (an e-mail, another database) happen at least once, because the transaction may be
//! rolled back after them; make them idempotent with the event's
//! [position](es::PersistedEvent::position) as the key, and look at
//! [`EventContext::replaying`] before you send anything twice.
//!
//! This crate names no database: it works on anything that is an [`es::EventSource`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use es::memory::{MemoryConnection, MemoryStore};
//! use es::{Event, EventStore, ExpectedVersion, PersistedEvent, ProjectionName, StreamId};
//! use projection::{EventContext, HandlerError, Processor, Projection};
//! use tokio_util::sync::CancellationToken;
//!
//! struct Totals;
//!
//! impl Projection for Totals {
//!     type Connection = MemoryConnection;
//!
//!     fn name(&self) -> &ProjectionName {
//!         static NAME: ProjectionName = ProjectionName::from_static("totals");
//!         &NAME
//!     }
//!
//!     async fn handle(
//!         &self,
//!         conn: &mut MemoryConnection,
//!         event: &PersistedEvent,
//!         _context: &EventContext,
//!     ) -> Result<(), HandlerError> {
//!         conn.insert_row("totals", event.payload_json()?)?;
//!         Ok(())
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let store = MemoryStore::default();
//! let order = StreamId::new("Sales", "Order", "order-1")?;
//! let placed = [Event::json("OrderPlaced", &4200)?];
//! store.append(&mut store.connect(), &order, ExpectedVersion::NoStream, &placed).await?;
//!
//! let processor = Processor::new(Arc::new(store.clone())).with_projection(Totals);
//! processor.run_until_caught_up(CancellationToken::new()).await?;
//! assert_eq!(store.connect().rows("totals")?, [4200]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod context;
mod epoch;
mod error;
mod handler_error;
mod health;
mod limits;
pub mod metrics;
mod observe;
pub mod operator;
mod policy;
mod processor;
mod projection;
mod rescale;
mod transaction;
mod user_code;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use context::{BatchContext, EventContext};
pub use error::{ProcessorError, TooManyInARow};
pub use handler_error::{
    HandlerError, HandlerNeverEnded, HandlerPanicked, HandlerTimedOut, Permanent, Retryable,
};
pub use health::{Health, Trouble};
pub use operator::{Operator, OperatorError};
pub use policy::{FailurePolicy, Retries};
pub use processor::{Processor, ProjectionOptions};
pub use projection::Projection;
