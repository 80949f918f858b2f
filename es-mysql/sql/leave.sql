-- Forgets a worker, and those that are not there any more.
--
-- ? projection  ? worker
delete from {workers}
where projection = ?
  and (
    worker_id = ?
    or alive_until <= utc_timestamp(6)
  )
