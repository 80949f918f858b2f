-- The events of one stream, from one version to another, in version order.
--
-- ? bounded context  ? aggregate type  ? aggregate id  ? first version  ? last version
--
-- Names are sent as bytes, which no character set of the session changes, and come as such.
select
  global_position,
  cast(bounded_context as binary) as bounded_context,
  cast(aggregate_type as binary) as aggregate_type,
  cast(aggregate_id as binary) as aggregate_id,
  aggregate_version,
  event_id,
  cast(event_type as binary) as event_type,
  event_version,
  payload,
  cast(metadata as binary) as metadata,
  cast(correlation_id as binary) as correlation_id,
  cast(causation_id as binary) as causation_id,
  cast(trace_id as binary) as trace_id,
  created_at,
  recorded_at
from {events}
where bounded_context = convert(? using utf8mb4)
  and aggregate_type = convert(? using utf8mb4)
  and aggregate_id = convert(? using utf8mb4)
  and aggregate_version between ? and ?
order by aggregate_version
limit 18446744073709551615
