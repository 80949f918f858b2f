//! The name of a stream.

use std::fmt;
use std::sync::Arc;

use crate::identifier::{InvalidIdentifier, identifier};
use crate::slot::Slot;

/// The name of a stream: bounded context, aggregate type, aggregate id.
///
/// Each part has 1–255 bytes, no control characters and no white space at its ends; parts
/// compare byte for byte on every database. Cloning is cheap: the parts are shared.
///
/// ```
/// use es::StreamId;
///
/// let order = StreamId::new("Sales", "Order", "order-1")?;
/// assert_eq!(order.to_string(), "Sales/Order/order-1");
/// # Ok::<(), es::InvalidIdentifier>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    bounded_context: Arc<str>,
    aggregate_type: Arc<str>,
    aggregate_id: Arc<str>,
}

impl StreamId {
    /// Names the stream of one aggregate.
    pub fn new(
        bounded_context: impl AsRef<str>,
        aggregate_type: impl AsRef<str>,
        aggregate_id: impl AsRef<str>,
    ) -> Result<Self, InvalidIdentifier> {
        Ok(StreamId {
            bounded_context: identifier("bounded context", bounded_context.as_ref())?,
            aggregate_type: identifier("aggregate type", aggregate_type.as_ref())?,
            aggregate_id: identifier("aggregate id", aggregate_id.as_ref())?,
        })
    }

    /// A name read back from a store, which has been through [`StreamId::new`] before.
    pub(crate) fn from_stored(
        bounded_context: Arc<str>,
        aggregate_type: Arc<str>,
        aggregate_id: Arc<str>,
    ) -> Self {
        StreamId { bounded_context, aggregate_type, aggregate_id }
    }

    /// The part of the domain the aggregate belongs to, such as `Sales`.
    pub fn bounded_context(&self) -> &str {
        &self.bounded_context
    }

    /// The kind of aggregate, such as `Order`.
    pub fn aggregate_type(&self) -> &str {
        &self.aggregate_type
    }

    /// Which aggregate of its kind.
    pub fn aggregate_id(&self) -> &str {
        &self.aggregate_id
    }

    /// The slot of the aggregate id, which decides the partition of all its events.
    pub fn slot(&self) -> Slot {
        Slot::of(&self.aggregate_id)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.bounded_context, self.aggregate_type, self.aggregate_id)
    }
}
