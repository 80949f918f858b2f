//! What a user writes: a name, a filter and a handler.

use std::error::Error;
use std::future::Future;

use es::{EventFilter, PersistedEvent, ProjectionName};

use crate::{BatchContext, EventContext, FailurePolicy};

/// Why a handler could not handle an event; any error converts with `?`.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// Turns events into rows, on connections of type `C`.
///
/// The handler writes through the connection it is given, which is in the transaction that also
/// moves the checkpoint. It must not commit or roll that transaction back, and it must return the
/// database's errors: some of them end the transaction.
///
/// One value handles all partitions of a process, side by side, hence `&self`.
pub trait Projection<C: Send>: Send + Sync + 'static {
    /// The name its checkpoints are kept under. Another name is another projection, which starts
    /// at the beginning of the log.
    fn name(&self) -> ProjectionName;

    /// Which events it wants; all unless overridden. The partition is set by the processor.
    ///
    /// A change of the filter applies to events after the checkpoint only.
    fn filter(&self) -> EventFilter {
        EventFilter::default()
    }

    /// What becomes of an event that cannot be handled; unless overridden, the processor stops.
    fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy::default()
    }

    /// Handles one event. The context says whether it is a replay, and which attempt.
    ///
    /// Events of one aggregate come in the order of their versions. An event may come again
    /// after its transaction was rolled back, never after it was committed.
    ///
    /// # Errors
    ///
    /// Any error rolls the transaction back, and so does a panic. One that the database caused and
    /// a new transaction can cure (a deadlock, a lost connection) is tried again; what becomes of
    /// the event after any other is said by
    /// [`failure_policy`](Projection::failure_policy).
    fn handle(
        &self,
        conn: &mut C,
        event: &PersistedEvent,
        context: &EventContext,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send;

    /// Handles a batch, one event after the other unless overridden: override it where one
    /// statement can do the work of many. `events` is never empty.
    ///
    /// # Errors
    ///
    /// As [`handle`](Projection::handle). After an error that is the handler's own, the batch's
    /// events are given again one by one, each in a transaction of its own, so that those before
    /// the one that fails are not lost and the error names that one.
    fn handle_batch(
        &self,
        conn: &mut C,
        events: &[PersistedEvent],
        context: &BatchContext,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send {
        async move {
            for event in events {
                self.handle(conn, event, &context.event(event)).await?;
            }
            Ok(())
        }
    }
}
