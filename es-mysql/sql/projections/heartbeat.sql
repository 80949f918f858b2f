-- Notes that a worker will be there for a while.
--
-- ?1 projection  ?2 worker  ?3 microseconds
insert into {workers} (projection, worker_id, alive_until)
values (?1, ?2, utc_timestamp(6) + interval ?3 microsecond)
on duplicate key update
  alive_until = values(alive_until)
