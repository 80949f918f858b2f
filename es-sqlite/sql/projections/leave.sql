-- Forgets a worker, and those that are not there any more.
--
-- ?1 projection  ?2 worker
delete from {workers}
where projection = ?1
  and (
    worker_id = ?2
    or alive_until <= cast((julianday('now') - 2440587.5) * 86400000000 as integer)
  )
