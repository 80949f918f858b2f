-- The dead letters of one stream, in position order.
--
-- ?1 projection  ?2 bounded context  ?3 aggregate type  ?4 aggregate id  ?5 at most
select
  position,
  bounded_context,
  aggregate_type,
  aggregate_id,
  attempts,
  error,
  parked_at
from {dead_letters}
where projection = ?1
  and aggregate_id = ?4
  and aggregate_type = ?3
  and bounded_context = ?2
order by position
limit ?5
