-- The streams that have dead letters, among those with some aggregate ids. Sent as text.
select distinct
  bounded_context,
  aggregate_type,
  aggregate_id
from {dead_letters}
where projection = {projection}
  and aggregate_id in ({ids})
limit 18446744073709551615
