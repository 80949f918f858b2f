-- The streams that have dead letters, among those with some aggregate ids.
--
-- $1 projection  $2 aggregate ids
select distinct
  bounded_context,
  aggregate_type,
  aggregate_id
from {dead_letters}
where projection = $1
  and aggregate_id = any($2)
