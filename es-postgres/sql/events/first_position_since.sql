-- The first position whose event was recorded at a time or later; no row if there is none.
--
-- $1 time
--
-- In the order of the log, which stops at the first; an index on the time would not help with that.
select global_position
from {events}
where recorded_at >= $1
order by global_position
limit 1
