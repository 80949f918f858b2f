-- The dead letters of a projection after a position, in position order.
--
-- ? projection  ? after  ? at most
select
  position,
  bounded_context,
  aggregate_type,
  aggregate_id,
  attempts,
  error,
  parked_at
from {dead_letters}
where projection = ?
  and position > ?
order by position
limit ?
