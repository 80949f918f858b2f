-- Inserts the events of an append. All of their positions are drawn at once, so that they follow
-- each other: the answer names the first. MySQL has no RETURNING.
--
-- for each event: bounded context, aggregate type, aggregate id, version, slot, event id, event
-- type, version of the type, payload, metadata, correlation id, causation id, trace id, time
--
-- A duplicate undoes this statement and nothing else. InnoDB checks the key of the event ids
-- before that of the streams, so the key that the error names says which of the two it is.
insert into {events} (
  bounded_context, aggregate_type, aggregate_id, aggregate_version, slot,
  event_id, event_type, event_version, payload, metadata,
  correlation_id, causation_id, trace_id, created_at
)
values {rows}
