-- The workers that are there, by name.
--
-- $1 projection
select worker_id
from {workers}
where projection = $1
  and alive_until > clock_timestamp()
order by worker_id
