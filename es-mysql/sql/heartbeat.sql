-- Notes that a worker will be there for a while.
--
-- ? projection  ? worker  ? microseconds
insert into {workers} (projection, worker_id, alive_until)
values (?, ?, utc_timestamp(6) + interval ? microsecond)
on duplicate key update
  alive_until = values(alive_until)
