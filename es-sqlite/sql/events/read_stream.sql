-- The events of one stream, from one version to another, in version order.
--
-- ?1 bounded context  ?2 aggregate type  ?3 aggregate id  ?4 first version  ?5 last version
select
  global_position,
  bounded_context,
  aggregate_type,
  aggregate_id,
  aggregate_version,
  event_id,
  event_type,
  event_version,
  payload,
  metadata,
  correlation_id,
  causation_id,
  trace_id,
  created_at,
  recorded_at
from {events}
where bounded_context = ?1
  and aggregate_type = ?2
  and aggregate_id = ?3
  and aggregate_version between ?4 and ?5
order by aggregate_version
