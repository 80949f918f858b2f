-- The same as partitions.sql, but the rows are kept from being changed until the transaction ends,
-- and are as they are once nobody else changes them. The projection is locked already.
--
-- $1 projection
select
  partition_index,
  partition_total,
  one.position,
  epoch,
  replay_until,
  stop_at,
  owner,
  (extract(epoch from lease_until - clock_timestamp()) * 1000000)::bigint as lease_left,
  one.attempts,
  last_error,
  failing_position
from {checkpoints} as one
join {projections} on name = one.projection
where one.projection = $1
order by partition_index
for update
