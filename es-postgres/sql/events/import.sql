-- Takes events with the versions they are to have, in the order in which they come: the fields of
-- a row in binary, as copy_row.rs writes them. Each row draws its position when it comes.
copy {events} (
  bounded_context, aggregate_type, aggregate_id, aggregate_version, slot,
  event_id, event_type, event_version, payload, metadata,
  correlation_id, causation_id, trace_id, created_at
)
from stdin (format binary)
