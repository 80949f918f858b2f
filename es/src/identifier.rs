//! The rule every name a caller gives must obey, so that all databases keep it byte for byte.

use std::sync::Arc;

use thiserror::Error;

/// The longest identifier, in bytes of UTF-8.
pub const IDENTIFIER_BYTES_MAX: usize = 255;

/// A name that not every database would keep as it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidIdentifier {
    /// The name is the empty string.
    #[error("{field} is empty: give it 1 to {IDENTIFIER_BYTES_MAX} bytes")]
    Empty {
        /// Which name, such as `aggregate id`.
        field: &'static str,
    },
    /// The name is longer than [`IDENTIFIER_BYTES_MAX`] bytes.
    #[error("{field} has {bytes} bytes, {IDENTIFIER_BYTES_MAX} at most: shorten or hash it")]
    TooLong {
        /// Which name.
        field: &'static str,
        /// Its length in bytes of UTF-8.
        bytes: usize,
    },
    /// The name contains a control character.
    #[error("{field} {value:?} contains a control character: remove or escape it")]
    ControlCharacter {
        /// Which name.
        field: &'static str,
        /// The name itself.
        value: Box<str>,
    },
    /// The name begins or ends with white space, which some databases ignore when they compare.
    #[error("{field} {value:?} begins or ends with white space: trim it")]
    OuterWhiteSpace {
        /// Which name.
        field: &'static str,
        /// The name itself.
        value: Box<str>,
    },
}

/// Checks `value` and makes it shareable.
pub(crate) fn identifier(field: &'static str, value: &str) -> Result<Arc<str>, InvalidIdentifier> {
    check_identifier(field, value)?;
    Ok(value.into())
}

/// Checks `value`.
pub(crate) fn check_identifier(field: &'static str, value: &str) -> Result<(), InvalidIdentifier> {
    if value.is_empty() {
        return Err(InvalidIdentifier::Empty { field });
    }
    if value.len() > IDENTIFIER_BYTES_MAX {
        return Err(InvalidIdentifier::TooLong { field, bytes: value.len() });
    }
    if value.chars().any(char::is_control) {
        return Err(InvalidIdentifier::ControlCharacter { field, value: value.into() });
    }
    if value.trim() != value {
        return Err(InvalidIdentifier::OuterWhiteSpace { field, value: value.into() });
    }
    Ok(())
}
