-- The workers that are there, by name.
--
-- ?1 projection
select worker_id
from {workers}
where projection = ?1
  and alive_until > cast((julianday('now') - 2440587.5) * 86400000000 as integer)
order by worker_id
