//! Whether an append fits the server's largest packet.

use es::{Event, StoreError, StreamId};
use thiserror::Error;

/// What the protocol adds to the values of an event, at most: types, lengths, numbers, ids.
const EVENT_BYTES: usize = 256;

/// What it adds to a statement.
const STATEMENT_BYTES: usize = 1024;

#[derive(Debug, Error)]
#[error("the append takes about {bytes} bytes, max_allowed_packet is {bytes_max}")]
struct PacketTooLarge {
    bytes: usize,
    bytes_max: usize,
}

/// Above what size an append is not worth writing as text.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Whether an insert of this many bytes is sent as text, where it takes twice as many.
pub(crate) fn fits_text(bytes: usize, packet_bytes_max: usize) -> bool {
    bytes < TEXT_BYTES_MAX.min(packet_bytes_max / 2)
}

/// Refuses an insert that the server would answer by closing the connection; gives its size.
pub(crate) fn check_packet(
    stream: &StreamId,
    events: &[Event],
    bytes_max: usize,
) -> Result<usize, StoreError> {
    let names = [stream.bounded_context(), stream.aggregate_type(), stream.aggregate_id()];
    let names: usize = names.iter().map(|name| name.len()).sum();
    let bytes = |event: &Event| {
        EVENT_BYTES
            + names
            + event.event_type().len()
            + event.payload().len()
            + event.metadata().map_or(0, str::len)
    };
    let bytes = STATEMENT_BYTES + events.iter().map(bytes).sum::<usize>();
    if bytes < bytes_max {
        return Ok(bytes);
    }
    Err(StoreError::TooLarge { source: PacketTooLarge { bytes, bytes_max }.into() })
}
