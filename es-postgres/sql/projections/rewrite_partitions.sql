-- Makes partitions what an operator wants them to be, each without an owner.
--
-- $1 projection
-- $2 a JSON array with an array for each: partition, position, epoch, replay until, stop at
insert into {checkpoints} (projection, partition_index, position, epoch, replay_until, stop_at)
select
  $1,
  (value ->> 0)::integer,
  (value ->> 1)::bigint,
  (value ->> 2)::bigint,
  (value ->> 3)::bigint,
  (value ->> 4)::bigint
from json_array_elements($2::text::json)
on conflict (projection, partition_index) do update set
  position = excluded.position,
  updated_at = clock_timestamp(),
  epoch = excluded.epoch,
  replay_until = excluded.replay_until,
  stop_at = excluded.stop_at,
  owner = null,
  lease_until = null,
  attempts = 0,
  failing_position = null,
  attempt_began_at = null,
  last_error = null
