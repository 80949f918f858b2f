-- To append and to read; not to change, remove or truncate, and not to write a position by hand: an
-- event at a position that readers have passed would never be seen.
grant
    select,
    insert (
        bounded_context, aggregate_type, aggregate_id, aggregate_version, slot, event_id,
        event_type, event_version, payload, metadata, correlation_id, causation_id, trace_id,
        created_at
    )
on {events} to {roles};
