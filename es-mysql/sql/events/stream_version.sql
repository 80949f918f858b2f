-- The version of a stream; no row if it has no events. One step down the end of the stream's key.
--
-- ? bounded context  ? aggregate type  ? aggregate id
--
-- Names are sent as bytes, which no character set of the session changes.
select aggregate_version
from {events}
where bounded_context = convert(? using utf8mb4)
  and aggregate_type = convert(? using utf8mb4)
  and aggregate_id = convert(? using utf8mb4)
order by aggregate_version desc
limit 1
