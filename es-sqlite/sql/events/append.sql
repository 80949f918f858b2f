-- Appends events to one stream, all or none; no row comes back if the version is not the expected.
--
-- ?1 bounded context  ?2 aggregate type  ?3 aggregate id  ?4 slot
-- ?5 expected version, null for any
-- then nine binds an event: id, type, version of the type, payload, metadata,
--   correlation id, causation id, trace id, microseconds
--
-- The guard stands in the select of the insert itself, so that the append is one statement:
-- atomic with or without a transaction around it. SQLite has one writer at a time, so nothing
-- comes between the version read here and the rows written. Positions are drawn in the order
-- of the select, which is the order of the versions.
with
  incoming (
    ordinal, event_id, event_type, event_version, payload, metadata,
    correlation_id, causation_id, trace_id, created_at
  ) as (
    values {rows}
  ),
  stream (version) as (
    select coalesce(
      (
        select aggregate_version
        from {events}
        where bounded_context = ?1
          and aggregate_type = ?2
          and aggregate_id = ?3
        order by aggregate_version desc
        limit 1
      ),
      0
    )
  )
insert into {events} (
  bounded_context, aggregate_type, aggregate_id, aggregate_version, slot,
  event_id, event_type, event_version, payload, metadata,
  correlation_id, causation_id, trace_id, created_at
)
select
  ?1, ?2, ?3, stream.version + incoming.ordinal, ?4,
  event_id, event_type, event_version, payload, metadata,
  correlation_id, causation_id, trace_id, created_at
from stream, incoming
where ?5 is null or stream.version = ?5
order by incoming.ordinal
returning aggregate_version, global_position
