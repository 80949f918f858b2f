-- The version of a stream; no row if it has no events. One step down the end of the stream's index.
--
-- ?1 bounded context  ?2 aggregate type  ?3 aggregate id
select aggregate_version
from {events}
where bounded_context = ?1
  and aggregate_type = ?2
  and aggregate_id = ?3
order by aggregate_version desc
limit 1
