-- The version of a stream; no row if it has no events. One step down the end of the stream's key.
--
-- ? bounded context  ? aggregate type  ? aggregate id
select aggregate_version
from {events}
where bounded_context = ?
  and aggregate_type = ?
  and aggregate_id = ?
order by aggregate_version desc
limit 1
