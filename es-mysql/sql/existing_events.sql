-- What the store holds under some event ids: asked only when an append wrote nothing. The ids
-- are hexadecimal literals.
select
  event_id,
  bounded_context,
  aggregate_type,
  aggregate_id,
  aggregate_version,
  global_position
from {events}
where event_id in ({ids})
limit 18446744073709551615
