-- Everything that is known about the partitions of a projection, by index.
--
-- ?1 projection
select
  partition_index,
  partition_total,
  one.position,
  epoch,
  replay_until,
  stop_at,
  owner,
  lease_until - cast((julianday('now') - 2440587.5) * 86400000000 as integer) as lease_left,
  one.attempts,
  last_error,
  failing_position
from {checkpoints} as one
join {projections} on name = one.projection
where one.projection = ?1
order by partition_index
