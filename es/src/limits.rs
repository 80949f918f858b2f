//! How large things may be: the same on every store.

pub use crate::append::ANY_ATTEMPTS_MAX;
pub use crate::identifier::IDENTIFIER_BYTES_MAX;
pub use crate::invalid_append::{
    APPEND_BYTES_MAX, APPEND_EVENTS_MAX, METADATA_BYTES_MAX, PAYLOAD_BYTES_MAX,
};
pub use crate::projection_state::ERROR_BYTES_MAX;
pub use crate::slot::SLOT_COUNT;
