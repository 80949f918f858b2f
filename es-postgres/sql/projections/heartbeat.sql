-- Notes that a worker will be there for a while.
--
-- $1 projection  $2 worker  $3 microseconds
insert into {workers} (projection, worker_id, alive_until)
values ($1, $2, clock_timestamp() + $3 * interval '1 microsecond')
on conflict (projection, worker_id) do update set
  alive_until = excluded.alive_until
