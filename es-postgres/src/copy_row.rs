//! Events as COPY takes them in binary:
//! <https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.55.9.4>.

use es::adapter::NumberedEvent;

use crate::event_row::EPOCH_MICROS;

/// What a binary COPY begins with: a signature, no flags, no extension.
pub(crate) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What it ends with.
pub(crate) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// How many columns `import.sql` names.
const COLUMNS: i16 = 14;

/// What stands for null: a length no value has.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// Writes the columns of `import.sql`, in its order.
pub(crate) fn write(row: &mut Vec<u8>, numbered: &NumberedEvent) {
    let NumberedEvent { stream, version, event } = numbered;
    row.extend(COLUMNS.to_be_bytes());
    field(row, stream.bounded_context().as_bytes());
    field(row, stream.aggregate_type().as_bytes());
    field(row, stream.aggregate_id().as_bytes());
    field(row, &version.get().to_be_bytes());
    field(row, &stream.slot().get().to_be_bytes());
    field(row, event.id().as_bytes());
    field(row, event.event_type().as_bytes());
    field(row, &i32::from(event.event_version()).to_be_bytes());
    field(row, event.payload());
    let ids = [event.correlation_id(), event.causation_id(), event.trace_id()];
    for text in [event.metadata()].into_iter().chain(ids) {
        match text {
            Some(text) => field(row, text.as_bytes()),
            None => row.extend(NULL),
        }
    }
    field(row, &(event.created_at().timestamp_micros() - EPOCH_MICROS).to_be_bytes());
}

fn field(row: &mut Vec<u8>, value: &[u8]) {
    let length = i32::try_from(value.len()).expect("a value was checked to have 16 MiB at most");
    row.extend(length.to_be_bytes());
    row.extend_from_slice(value);
}
