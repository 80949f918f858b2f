//! The rule every name a caller gives must obey, so that all databases keep it byte for byte.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
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

/// A checked name: of the program's text, or made as it runs.
#[derive(Debug, Clone)]
pub(crate) enum Name {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Name {
    /// Checks the name.
    pub(crate) fn new(field: &'static str, name: &str) -> Result<Self, InvalidIdentifier> {
        identifier(field, name).map(Name::Shared)
    }

    /// A name that is known when the program is compiled.
    ///
    /// # Panics
    ///
    /// If it is not 1 to 255 printable ASCII characters without a space at its ends. In a constant
    /// that is an error of the compiler.
    pub(crate) const fn from_static(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        let length = bytes.len();
        assert!(length > 0, "the name is empty");
        assert!(length <= IDENTIFIER_BYTES_MAX, "the name is longer than 255 bytes");
        let mut index = 0;
        while index < length {
            let is_printable = bytes[index] == b' ' || bytes[index].is_ascii_graphic();
            assert!(
                is_printable,
                "the name has a character that is not printable ASCII: use `new`"
            );
            index += 1;
        }
        let has_outer_space = bytes[0] == b' ' || bytes[length - 1] == b' ';
        assert!(!has_outer_space, "the name begins or ends with a space");
        Name::Static(name)
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Name::Static(name) => name,
            Name::Shared(name) => name,
        }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
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
