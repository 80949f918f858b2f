-- The same as partitions.sql, but the rows are kept from being changed until the transaction ends,
-- and are as they are once nobody else changes them. The projection is locked already.
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
  timestampdiff(microsecond, utc_timestamp(6), lease_until) as lease_left,
  one.attempts,
  last_error,
  failing_position
from {checkpoints} as one
join {projections} on name = one.projection
where one.projection = ?1
order by partition_index
limit 18446744073709551615
for update
