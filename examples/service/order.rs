//! The domain: what can happen to an order, and what may. No database, no HTTP.

use std::num::NonZeroU16;

use es::{DecodeError, Event, InvalidEvent, InvalidIdentifier, PersistedEvent, Stream, StreamId};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// Where orders are in the event store.
pub(crate) const CONTEXT: &str = "Sales";
pub(crate) const AGGREGATE: &str = "Order";

/// The most items of one order: with prices below 2³² and quantities below 2¹⁶ no sum overflows.
pub(crate) const ITEMS_MAX: usize = 100;

const PLACED: &str = "OrderPlaced";
const ITEM_ADDED: &str = "ItemAdded";
const SHIPPED: &str = "OrderShipped";

/// What somebody wants to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Place(OrderPlaced),
    AddItem(ItemAdded),
    Ship,
}

impl Command {
    /// The word for it in the table of requests.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Command::Place(_) => "place",
            Command::AddItem(_) => "add item",
            Command::Ship => "ship",
        }
    }
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OrderEvent {
    Placed(OrderPlaced),
    ItemAdded(ItemAdded),
    Shipped,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderPlaced {
    pub(crate) customer: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemAdded {
    pub(crate) sku: Name,
    pub(crate) quantity: NonZeroU16,
    pub(crate) unit_price_cents: u32,
}

impl ItemAdded {
    pub(crate) fn total_cents(&self) -> i64 {
        i64::from(self.quantity.get()) * i64::from(self.unit_price_cents)
    }
}

/// A text that every database can hold: 1 to 100 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, PartialEq, Eq, Error)]
#[error("a name has 1 to 100 characters and no control characters")]
pub(crate) struct InvalidName;

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, InvalidName> {
        let is_valid =
            (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if is_valid { Ok(Name(name)) } else { Err(InvalidName) }
    }
}

/// Why something cannot happen to the order as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    #[error("there is no such order")]
    NotPlaced,
    #[error("there is such an order already")]
    AlreadyPlaced,
    #[error("the order has been shipped")]
    AlreadyShipped,
    #[error("the order has no items: add one before it is shipped")]
    NoItems,
    #[error("the order has {ITEMS_MAX} items, and more are not allowed")]
    TooManyItems,
}

/// An order as far as decisions need it: no more than what its events say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Order {
    is_placed: bool,
    items: usize,
    is_shipped: bool,
}

impl Order {
    /// The order that these events have made.
    pub(crate) fn from_stream(stream: &Stream) -> Result<Self, UnreadableEvent> {
        stream.iter().try_fold(Order::default(), |order, event| {
            Ok(order.after(&OrderEvent::from_persisted(event)?))
        })
    }

    fn after(self, event: &OrderEvent) -> Self {
        match event {
            OrderEvent::Placed(_) => Order { is_placed: true, ..self },
            OrderEvent::ItemAdded(_) => Order { items: self.items + 1, ..self },
            OrderEvent::Shipped => Order { is_shipped: true, ..self },
        }
    }

    /// What happens if the command is carried out.
    pub(crate) fn decide(self, command: &Command) -> Result<OrderEvent, Refusal> {
        match command {
            Command::Place(_) if self.is_placed => Err(Refusal::AlreadyPlaced),
            Command::AddItem(_) | Command::Ship if !self.is_placed => Err(Refusal::NotPlaced),
            Command::AddItem(_) | Command::Ship if self.is_shipped => Err(Refusal::AlreadyShipped),
            Command::AddItem(_) if self.items >= ITEMS_MAX => Err(Refusal::TooManyItems),
            Command::Ship if self.items == 0 => Err(Refusal::NoItems),
            allowed => Ok(OrderEvent::of(allowed)),
        }
    }
}

impl OrderEvent {
    /// What the command makes happen if it is allowed.
    pub(crate) fn of(command: &Command) -> Self {
        match command {
            Command::Place(placed) => OrderEvent::Placed(placed.clone()),
            Command::AddItem(added) => OrderEvent::ItemAdded(added.clone()),
            Command::Ship => OrderEvent::Shipped,
        }
    }

    /// The event as it is stored.
    pub(crate) fn to_event(&self, id: Uuid) -> Result<Event, InvalidEvent> {
        let event = match self {
            OrderEvent::Placed(placed) => Event::json(PLACED, placed),
            OrderEvent::ItemAdded(added) => Event::json(ITEM_ADDED, added),
            OrderEvent::Shipped => Event::json(SHIPPED, &()),
        };
        Ok(event?.with_id(id))
    }

    /// The event as it was meant.
    pub(crate) fn from_persisted(event: &PersistedEvent) -> Result<Self, UnreadableEvent> {
        match event.event_type() {
            PLACED => Ok(OrderEvent::Placed(event.payload_json()?)),
            ITEM_ADDED => Ok(OrderEvent::ItemAdded(event.payload_json()?)),
            SHIPPED => Ok(OrderEvent::Shipped),
            other => Err(UnreadableEvent::UnknownType(other.to_owned())),
        }
    }
}

/// A stored event that this version of the program does not understand.
#[derive(Debug, Error)]
pub(crate) enum UnreadableEvent {
    #[error("an order has an event of type {0:?}: a newer version of this program wrote it")]
    UnknownType(String),
    #[error(transparent)]
    Payload(#[from] DecodeError),
}

/// The stream of an order.
pub(crate) fn stream_of(order_id: &str) -> Result<StreamId, InvalidIdentifier> {
    StreamId::new(CONTEXT, AGGREGATE, order_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name::try_from(name.to_owned()).unwrap()
    }

    fn place() -> Command {
        Command::Place(OrderPlaced { customer: name("Ada") })
    }

    fn add() -> Command {
        let quantity = NonZeroU16::new(2).unwrap();
        Command::AddItem(ItemAdded { sku: name("tea"), quantity, unit_price_cents: 450 })
    }

    /// The answer to the last command, after the others were carried out.
    fn answer(commands: &[Command]) -> Result<OrderEvent, Refusal> {
        let (last, before) = commands.split_last().unwrap();
        let carry_out = |order: Order, command| order.after(&order.decide(command).unwrap());
        before.iter().fold(Order::default(), carry_out).decide(last)
    }

    #[test]
    fn an_order_is_placed_filled_and_shipped() {
        assert_eq!(answer(&[place(), add(), add(), Command::Ship]), Ok(OrderEvent::Shipped));
    }

    #[test]
    fn what_may_not_happen_is_refused() {
        assert_eq!(answer(&[add()]), Err(Refusal::NotPlaced));
        assert_eq!(answer(&[Command::Ship]), Err(Refusal::NotPlaced));
        assert_eq!(answer(&[place(), place()]), Err(Refusal::AlreadyPlaced));
        assert_eq!(answer(&[place(), Command::Ship]), Err(Refusal::NoItems));
        for late in [add(), Command::Ship] {
            let refused = answer(&[place(), add(), Command::Ship, late]);
            assert_eq!(refused, Err(Refusal::AlreadyShipped));
        }
        let mut full = vec![place()];
        full.extend(std::iter::repeat_n(add(), ITEMS_MAX + 1));
        assert_eq!(answer(&full), Err(Refusal::TooManyItems));
    }

    #[test]
    fn a_name_that_a_database_might_refuse_is_refused_first() {
        for invalid in ["", "a\0b", "a\nb", &"a".repeat(101)] {
            assert_eq!(Name::try_from(invalid.to_owned()), Err(InvalidName), "{invalid:?}");
        }
        assert_eq!(Name::try_from("é".repeat(100)), Ok(Name("é".repeat(100))));
    }
}
