-- Makes partitions what an operator wants them to be, each without an owner.
--
-- ?1 projection
-- ?2 a JSON array with an array for each: partition, position, epoch, replay until, stop at
insert into {checkpoints} (projection, partition_index, position, epoch, replay_until, stop_at)
select ?1, seed.*
from json_table(?2, '$[*]' columns (
  partition_index int path '$[0]',
  position bigint path '$[1]',
  epoch bigint path '$[2]',
  replay_until bigint path '$[3]',
  stop_at bigint path '$[4]'
)) as seed
on duplicate key update
  position = values(position),
  updated_at = utc_timestamp(6),
  epoch = values(epoch),
  replay_until = values(replay_until),
  stop_at = values(stop_at),
  owner = null,
  lease_until = null,
  attempts = 0,
  failing_position = null,
  attempt_began_at = null,
  last_error = null
