-- Forgets a worker, and those that are not there any more.
--
-- ?1 projection  ?2 worker
delete from {workers}
where projection = ?1
  and (
    worker_id = ?2
    or alive_until <= utc_timestamp(6)
  )
