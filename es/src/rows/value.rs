//! What goes into a statement.

use std::borrow::Cow;
use std::time::Duration;

use crate::checkpoint::{Epoch, ProjectionName};
use crate::partition::Partition;
use crate::partition_count::PartitionCount;
use crate::position::Position;
use crate::projection_state::WorkerId;

/// A value that a statement binds. Null has a type, for that is what databases want to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// A whole number.
    Integer(Option<i64>),
    /// Text; rows of values come as one JSON text, an array of arrays.
    Text(Option<Cow<'a, str>>),
    /// True or false.
    Flag(bool),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(Some(Cow::Borrowed(text)))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::Text(Some(Cow::Owned(text)))
    }
}

impl<'a> From<Option<Cow<'a, str>>> for Value<'a> {
    fn from(text: Option<Cow<'a, str>>) -> Self {
        Value::Text(text)
    }
}

impl<'a> From<&'a ProjectionName> for Value<'a> {
    fn from(name: &'a ProjectionName) -> Self {
        name.as_str().into()
    }
}

impl<'a> From<&'a WorkerId> for Value<'a> {
    fn from(worker: &'a WorkerId) -> Self {
        worker.as_str().into()
    }
}

/// Whole numbers, and null in their place.
macro_rules! integers {
    ($($type:ty => $number:expr;)*) => {
        $(impl From<$type> for Value<'_> {
            fn from(value: $type) -> Self {
                let number: fn($type) -> i64 = $number;
                Value::Integer(Some(number(value)))
            }
        }

        impl From<Option<$type>> for Value<'_> {
            fn from(value: Option<$type>) -> Self {
                value.map_or(Value::Integer(None), Into::into)
            }
        })*
    };
}

integers! {
    u16 => i64::from;
    u32 => i64::from;
    i32 => i64::from;
    Position => Position::get;
    Epoch => Epoch::get;
    PartitionCount => |count| count.get().into();
    Partition => |partition| partition.index().into();
    // In microseconds, the unit of the statements.
    Duration => |duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Value::Flag(flag)
    }
}
