-- The workers that are there, by name.
--
-- ? projection
select worker_id
from {workers}
where projection = ?
  and alive_until > utc_timestamp(6)
order by worker_id
limit 18446744073709551615
