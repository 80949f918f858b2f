-- Makes partitions what an operator wants them to be, each without an owner.
--
-- $1 projection  $2 positions  $3 epochs  $4 replay until  $5 stop at: arrays, by partition
insert into {checkpoints} (projection, partition_index, position, epoch, replay_until, stop_at)
select
  $1,
  number - 1,
  seed_position,
  epoch,
  replay_until,
  stop_at
from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
  with ordinality as seed (seed_position, epoch, replay_until, stop_at, number)
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
