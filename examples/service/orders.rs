//! Orders: a request's transaction, from the decision to the commit.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use es::{
    AppendError, AppendResult, Event, EventSource, EventStore, ExpectedVersion, Position,
    StoreError, Stream, StreamId, Version,
};
use projection::{Operator, OperatorError};
use serde::Serialize;
use sqlx::error::Error as SqlxError;
use tracing::{info, warn};

use crate::backend::{Backend, RequestRow, Transaction};
use crate::error::OrderError;
use crate::event_id::EventId;
use crate::order::{Command, Order, OrderEvent, stream_of};
use crate::summaries;

/// How often a decision is made again, in one request, because somebody else came first.
const DECISIONS_MAX: usize = 5;

/// What a request has led to. A request that is repeated is answered with the same values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Accepted {
    pub(crate) order_id: String,
    /// The order's version after the request.
    pub(crate) version: i64,
    /// Where its event stands in the log.
    pub(crate) position: i64,
    #[serde(skip)]
    stream: StreamId,
    #[serde(skip)]
    at: Position,
}

/// The orders in a database.
pub(crate) struct Orders<B> {
    backend: Arc<B>,
    wait_max: Duration,
}

impl<B: Backend> Orders<B> {
    /// Waits for the read model for so long, at most, after each request.
    pub(crate) fn new(backend: Arc<B>, wait_max: Duration) -> Self {
        Orders { backend, wait_max }
    }

    pub(crate) fn backend(&self) -> &B {
        &self.backend
    }

    /// Places an order: its first event, and this service's own row, in one transaction. Nothing
    /// is read first; the store refuses a second order of the same id.
    pub(crate) async fn place(
        &self,
        order_id: &str,
        command: &Command,
        EventId(event_id): EventId,
    ) -> Result<Accepted, OrderError> {
        let stream = stream_of(order_id)?;
        let event = Order::default().decide(command)?.to_event(event_id)?;
        let mut tx = self.begin().await?;
        let placed = self.place_in(&mut tx, &stream, command, event).await;
        self.end(tx, placed).await
    }

    async fn place_in(
        &self,
        conn: &mut B::Connection,
        stream: &StreamId,
        command: &Command,
        event: Event,
    ) -> Result<Accepted, OrderError> {
        let event_id = EventId(event.id());
        let store = self.backend.source().store();
        match store.append(conn, stream, ExpectedVersion::NoStream, &[event]).await {
            Ok(appended) if appended.is_replay() => {
                let known = self.read(conn, stream).await?;
                answer_of_repetition(&known, command, event_id)?.ok_or(OrderError::KeyReused)
            }
            Ok(appended) => self.accept(conn, command, &appended).await,
            Err(AppendError::Conflict { actual, .. }) => {
                self.refuse(conn, stream, command, actual).await
            }
            Err(error) => Err(self.append_failed(error)),
        }
    }

    /// Changes an order: reads its events, decides, and appends what follows if it still is at the
    /// version that was read. If it is not, the transaction goes on and decides again.
    pub(crate) async fn change(
        &self,
        order_id: &str,
        command: &Command,
        expected: Option<Version>,
        event_id: EventId,
    ) -> Result<Accepted, OrderError> {
        let stream_id = stream_of(order_id)?;
        let mut tx = self.begin().await?;
        let changed = self.change_in(&mut tx, &stream_id, command, expected, event_id).await;
        self.end(tx, changed).await
    }

    async fn change_in(
        &self,
        conn: &mut B::Connection,
        stream_id: &StreamId,
        command: &Command,
        expected: Option<Version>,
        EventId(event_id): EventId,
    ) -> Result<Accepted, OrderError> {
        let store = self.backend.source().store();
        let mut version = Version::NONE;
        for _ in 0..DECISIONS_MAX {
            let stream = self.read(conn, stream_id).await?;
            if let Some(earlier) = answer_of_repetition(&stream, command, EventId(event_id))? {
                return Ok(earlier);
            }
            version = stream.version();
            if expected.is_some_and(|expected| expected != version) {
                break;
            }
            let event = Order::from_stream(&stream)?.decide(command)?.to_event(event_id)?;
            let at = ExpectedVersion::Exact(version);
            match store.append(conn, stream_id, at, &[event]).await {
                // The same request, carried out elsewhere since the stream was read.
                Ok(appended) if appended.is_replay() => {}
                Ok(appended) => return self.accept(conn, command, &appended).await,
                Err(AppendError::Conflict { actual, .. }) => {
                    let order_id = stream_id.aggregate_id();
                    info!(order_id, version = actual.get(), "deciding again");
                    version = actual;
                }
                Err(error) => return Err(self.append_failed(error)),
            }
        }
        self.refuse(conn, stream_id, command, version).await
    }

    /// Whether the read model shows the request's event, after waiting for it.
    ///
    /// The request is carried out, so what goes wrong here is no error of it. An event that the
    /// projection has parked counts as handled: `GET /projections` shows it.
    pub(crate) async fn is_visible(&self, accepted: &Accepted) -> bool {
        let Accepted { stream, at, .. } = accepted;
        let operator = Operator::new(&**self.backend.source());
        let name = &summaries::NAME;
        let waited = operator.wait_for_stream(name, stream, *at, self.wait_max).await;
        match waited {
            Ok(()) => true,
            Err(error @ OperatorError::TimedOut { .. }) => {
                info!("{error}");
                false
            }
            Err(error) => {
                warn!(error = &error as &dyn Error, "answering without the read model");
                false
            }
        }
    }

    async fn begin(&self) -> Result<Transaction<B>, OrderError> {
        self.backend.source().begin().await.map_err(|error| self.failed(error))
    }

    /// A conflict is an ordinary value: the transaction that met it has noted it, and commits. One
    /// that is only dropped would cost the pool its connection, so the others roll back.
    async fn end(
        &self,
        tx: Transaction<B>,
        done: Result<Accepted, OrderError>,
    ) -> Result<Accepted, OrderError> {
        let source = self.backend.source();
        match &done {
            Ok(_) | Err(OrderError::Conflict { .. }) => {
                source.commit(tx).await.map_err(|error| self.failed(error))?;
            }
            Err(_) => {
                // If the connection is lost, the database rolls back by itself.
                let _ = source.rollback(tx).await;
            }
        }
        done
    }

    async fn read(
        &self,
        conn: &mut B::Connection,
        stream: &StreamId,
    ) -> Result<Stream, OrderError> {
        let store = self.backend.source().store();
        store.read_stream(conn, stream, ..).await.map_err(|error| self.failed(error))
    }

    /// The point of the whole library: this service's row and the event commit together.
    async fn accept(
        &self,
        conn: &mut B::Connection,
        command: &Command,
        appended: &AppendResult,
    ) -> Result<Accepted, OrderError> {
        let [event] = appended.events() else {
            return Err(self.failed(StoreError::corrupt("an append of one event that has others")));
        };
        let accepted = Accepted::new(event);
        let (order_id, version) = (&*accepted.order_id, event.version());
        let row = RequestRow { order_id, command: command.name(), outcome: "accepted", version };
        self.note(conn, &row).await?;
        Ok(accepted)
    }

    /// The transaction that met a conflict can still write.
    async fn refuse(
        &self,
        conn: &mut B::Connection,
        stream: &StreamId,
        command: &Command,
        actual: Version,
    ) -> Result<Accepted, OrderError> {
        let (order_id, version) = (stream.aggregate_id(), actual);
        let row = RequestRow { order_id, command: command.name(), outcome: "conflict", version };
        self.note(conn, &row).await?;
        Err(OrderError::Conflict { actual })
    }

    async fn note(&self, conn: &mut B::Connection, row: &RequestRow<'_>) -> Result<(), OrderError> {
        B::insert_request(conn, row).await.map_err(|error| self.failed(error))
    }

    fn append_failed(&self, error: AppendError) -> OrderError {
        match error {
            AppendError::DuplicateEventId { .. } => OrderError::KeyReused,
            AppendError::Store(error) => self.failed(error),
            other => OrderError::Database(other.into()),
        }
    }

    /// Sorts what a database said.
    pub(crate) fn failed(&self, error: impl Error + Send + Sync + 'static) -> OrderError {
        let is_pool_busy =
            matches!((&error as &dyn Error).downcast_ref(), Some(SqlxError::PoolTimedOut));
        if is_pool_busy || self.backend.source().cause(&error) > Some(es::Cause::Statement) {
            return OrderError::Unavailable(error.into());
        }
        OrderError::Database(error.into())
    }
}

impl Accepted {
    fn new(event: &es::PersistedEvent) -> Self {
        Accepted {
            order_id: event.aggregate_id().to_owned(),
            version: event.version().get(),
            position: event.position().get(),
            stream: event.stream().clone(),
            at: event.position(),
        }
    }
}

/// What a request with this event id was answered before; `None` if there was none.
fn answer_of_repetition(
    stream: &Stream,
    command: &Command,
    EventId(event_id): EventId,
) -> Result<Option<Accepted>, OrderError> {
    let Some(event) = stream.iter().find(|event| event.id() == event_id) else {
        return Ok(None);
    };
    if OrderEvent::from_persisted(event)? != OrderEvent::of(command) {
        return Err(OrderError::KeyReused);
    }
    Ok(Some(Accepted::new(event)))
}
