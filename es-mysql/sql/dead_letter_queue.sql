-- The dead letters of one stream, in position order.
--
-- ? projection  ? aggregate id  ? aggregate type  ? bounded context  ? at most
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
  and aggregate_id = ?
  and aggregate_type = ?
  and bounded_context = ?
order by position
limit ?
