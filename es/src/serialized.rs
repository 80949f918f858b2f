//! How value types are written and read by serde: what is read is checked as if it were made here.
//!
//! An event's payload is a text where the format is one for people, such as JSON, and the payload is
//! UTF-8; else its bytes.

mod events;
mod filters;
mod names;
mod numbers;
mod payload;

use std::error::Error;

/// Writes a type as another one that serde's macros can do, and reads it so, with a check.
macro_rules! written_as {
    ($($type:ty => $form:ty;)*) => {
        $(impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <$form>::from(self).serialize(serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let form = <$form>::deserialize(deserializer)?;
                <$type>::try_from(form).map_err(|error| {
                    serde::de::Error::custom($crate::serialized::with_causes(&error))
                })
            }
        })*
    };
}
use written_as;

/// What an error says, with its causes: the formats keep a text only.
fn with_causes(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}
