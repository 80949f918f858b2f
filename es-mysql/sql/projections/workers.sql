-- The workers that are there, by name.
--
-- ?1 projection
select worker_id
from {workers}
where projection = ?1
  and alive_until > utc_timestamp(6)
order by worker_id
limit 18446744073709551615
