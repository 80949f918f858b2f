-- What the store holds under some event ids: asked only when an append wrote nothing. The ids
-- are hexadecimal literals.
select
  event_id,
  cast(bounded_context as binary) as bounded_context,
  cast(aggregate_type as binary) as aggregate_type,
  cast(aggregate_id as binary) as aggregate_id,
  aggregate_version,
  global_position
from {events}
where event_id in ({ids})
limit 18446744073709551615
