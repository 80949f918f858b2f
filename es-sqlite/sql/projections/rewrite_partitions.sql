-- Makes partitions what an operator wants them to be, each without an owner.
--
-- ?1 projection
-- ?2 a JSON array with an array for each: partition, position, epoch, replay until, stop at
insert into {checkpoints} (
  projection, partition_index, position, updated_at, epoch, replay_until, stop_at
)
select
  ?1,
  value ->> 0,
  value ->> 1,
  cast((julianday('now') - 2440587.5) * 86400000000 as integer),
  value ->> 2,
  value ->> 3,
  value ->> 4
from json_each(?2)
where true
on conflict (projection, partition_index) do update set
  position = excluded.position,
  updated_at = excluded.updated_at,
  epoch = excluded.epoch,
  replay_until = excluded.replay_until,
  stop_at = excluded.stop_at,
  owner = null,
  lease_until = null,
  attempts = 0,
  failing_position = null,
  attempt_began_at = null,
  last_error = null
