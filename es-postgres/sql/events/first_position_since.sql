-- The first position whose event is no older than a time; no row if there is none.
--
-- $1 time
--
-- In the order of the log, which stops at the first; an index on the time would not help with that.
select global_position
from {events}
where created_at >= $1
order by global_position
limit 1
