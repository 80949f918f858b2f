//! The read model: one row for each order, kept by a projection.

use std::marker::PhantomData;
use std::num::NonZeroU32;

use es::{EventFilter, PersistedEvent, ProjectionName, Version};
use projection::{EventContext, FailurePolicy, HandlerError, Projection, Retries};
use serde::Serialize;
use thiserror::Error;

use crate::backend::{Backend, SummaryRow};
use crate::order::{AGGREGATE, CONTEXT, OrderEvent};

/// How often an event is tried before it is parked.
const ATTEMPTS_MAX: NonZeroU32 = NonZeroU32::new(5).expect("it is not zero");

/// The projection's name.
pub(crate) static NAME: ProjectionName = ProjectionName::from_static("order_summaries");

/// Keeps the table `order_summaries`.
pub(crate) struct OrderSummaries<B>(PhantomData<fn() -> B>);

impl<B> Default for OrderSummaries<B> {
    fn default() -> Self {
        OrderSummaries(PhantomData)
    }
}

impl<B: Backend> Projection for OrderSummaries<B> {
    type Connection = B::Connection;

    fn name(&self) -> &ProjectionName {
        &NAME
    }

    fn filter(&self) -> EventFilter {
        EventFilter::default().with_bounded_contexts([CONTEXT]).with_aggregate_types([AGGREGATE])
    }

    /// One order that cannot be summed up keeps no other from it.
    fn failure_policy(&self) -> FailurePolicy {
        FailurePolicy::Park(Retries::new(ATTEMPTS_MAX))
    }

    async fn handle(
        &self,
        conn: &mut B::Connection,
        event: &PersistedEvent,
        _context: &EventContext,
    ) -> Result<(), HandlerError> {
        let (order_id, version) = (event.aggregate_id(), event.version());
        let changed = match OrderEvent::from_persisted(event)? {
            OrderEvent::Placed(placed) => {
                B::insert_summary(conn, order_id, &placed, version).await?;
                1
            }
            OrderEvent::ItemAdded(item) => B::add_item(conn, order_id, &item, version).await?,
            OrderEvent::Shipped => B::ship(conn, order_id, version).await?,
        };
        if changed == 1 { Ok(()) } else { Err(NoSummary { version }.into()) }
    }
}

/// The row is gone: somebody has changed the table by hand.
#[derive(Debug, Error)]
#[error("there is no summary to put version {version} of the order into")]
struct NoSummary {
    version: Version,
}

/// An order as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    order_id: String,
    customer: String,
    status: &'static str,
    items: i64,
    total_cents: i64,
    /// The version of the last event that is in here.
    version: i64,
}

impl Summary {
    pub(crate) fn new(order_id: String, row: SummaryRow) -> Self {
        let (customer, is_shipped, items, total_cents, version) = row;
        let status = if is_shipped { "shipped" } else { "open" };
        Summary { order_id, customer, status, items, total_cents, version }
    }
}
