//! What a user writes: a name, a filter and a handler.

use std::future::Future;
use std::sync::Arc;

use es::{EventFilter, PersistedEvent, ProjectionName};

use crate::context::{BatchContext, EventContext};
use crate::handler_error::HandlerError;
use crate::policy::FailurePolicy;

/// Turns events into rows.
///
/// The handler writes through the connection it is given, which is in the transaction that also
/// moves the checkpoint. It must not commit or roll that transaction back, and it must return the
/// database's errors, wrapped as it likes: some of them end the transaction.
///
/// It may take [`ProjectionOptions::with_time_max`](crate::ProjectionOptions::with_time_max), a
/// minute unless set; then its future is dropped. A panic is contained. Neither stops another
/// partition.
///
/// One value handles all partitions of a process, side by side, hence `&self`. An `Arc` of a
/// projection is one, too.
pub trait Projection: Send + Sync + 'static {
    /// What it writes on: the connection of its database, such as `SqliteConnection`.
    type Connection: Send;

    /// The name its checkpoints are kept under. Another name is another projection, which starts
    /// at the beginning of the log. One that is known when the program is compiled is a `static`,
    /// which the compiler checks:
    ///
    /// ```
    /// use es::ProjectionName;
    ///
    /// static NAME: ProjectionName = ProjectionName::from_static("revenue");
    /// ```
    fn name(&self) -> &ProjectionName;

    /// Which events it wants; all unless overridden. The partition is set by the processor.
    ///
    /// A change of the filter applies to events after the checkpoint only.
    fn filter(&self) -> EventFilter {
        EventFilter::default()
    }

    /// What becomes of an event that cannot be handled; unless overridden, its partition stands
    /// still.
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
    /// Any error rolls the transaction back, and so does a panic. One that the database caused (a
    /// deadlock, a lost connection, a full disk) is tried again, however it is wrapped: the
    /// driver's error is looked for in the chain of causes, and where nothing is found the
    /// transaction is asked whether it is still alive. What becomes of the event after any other is
    /// said by [`failure_policy`](Projection::failure_policy); [`Permanent`](crate::Permanent) and
    /// [`Retryable`](crate::Retryable) say which it is.
    fn handle(
        &self,
        conn: &mut Self::Connection,
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
        conn: &mut Self::Connection,
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

impl<P: Projection> Projection for Arc<P> {
    type Connection = P::Connection;

    fn name(&self) -> &ProjectionName {
        (**self).name()
    }

    fn filter(&self) -> EventFilter {
        (**self).filter()
    }

    fn failure_policy(&self) -> FailurePolicy {
        (**self).failure_policy()
    }

    fn handle(
        &self,
        conn: &mut Self::Connection,
        event: &PersistedEvent,
        context: &EventContext,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send {
        (**self).handle(conn, event, context)
    }

    fn handle_batch(
        &self,
        conn: &mut Self::Connection,
        events: &[PersistedEvent],
        context: &BatchContext,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send {
        (**self).handle_batch(conn, events, context)
    }
}
