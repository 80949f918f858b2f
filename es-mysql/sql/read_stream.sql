-- The events of one stream, from one version to another, in version order.
--
-- ? bounded context  ? aggregate type  ? aggregate id  ? first version  ? last version
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
  created_at
from {events}
where bounded_context = ?
  and aggregate_type = ?
  and aggregate_id = ?
  and aggregate_version between ? and ?
order by aggregate_version
limit 18446744073709551615
