-- The dead letters of a projection after a position, in position order.
--
-- $1 projection  $2 after  $3 at most
select
  position,
  bounded_context,
  aggregate_type,
  aggregate_id,
  attempts,
  error,
  parked_at
from {dead_letters}
where projection = $1
  and position > $2
order by position
limit $3
