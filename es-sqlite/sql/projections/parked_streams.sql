-- The streams that have dead letters, among those with some aggregate ids.
--
-- ?1 projection  ?2 aggregate ids, a JSON array of arrays
select distinct
  bounded_context,
  aggregate_type,
  aggregate_id
from {dead_letters}
where projection = ?1
  and aggregate_id in (select value ->> 0 from json_each(?2))
