-- Makes partitions what an operator wants them to be, each without an owner. Sent as text.
insert into {checkpoints} (projection, partition_index, position, epoch, replay_until, stop_at)
values {rows}
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
