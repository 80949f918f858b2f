//! The header `Idempotency-Key`, turned into the id of the event that the request leads to.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use uuid::Uuid;

use crate::error::OrderError;

const HEADER: &str = "idempotency-key";

/// Random; it keeps these ids apart from those that others derive from the same texts.
const NAMESPACE: Uuid = Uuid::from_u128(0x6c1f_0d0a_93b7_4b0e_a2f5_58a4_7f0e_61d9);

/// The id of the event that a request leads to. The store has every event id once, so that a
/// request which is repeated with its key leads to one event, whichever process answers it, and when. One that
/// was refused has led to none: it is looked at again.
///
/// A service with accounts makes the account part of the name: otherwise one client could use up
/// another's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventId(pub(crate) Uuid);

impl EventId {
    fn from_key(key: Option<&[u8]>) -> Self {
        match key {
            Some(key) => EventId(Uuid::new_v5(&NAMESPACE, key)),
            // No key: a request that comes twice is two requests.
            None => EventId(Uuid::now_v7()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for EventId {
    type Rejection = OrderError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, OrderError> {
        match parts.headers.get(HEADER).map(axum::http::HeaderValue::as_bytes) {
            Some([]) => Err(OrderError::EmptyKey),
            key => Ok(EventId::from_key(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_gives_the_same_id_and_no_key_a_new_one() {
        let of = |key: &str| EventId::from_key(Some(key.as_bytes()));
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert_ne!(EventId::from_key(None), EventId::from_key(None));
    }
}
