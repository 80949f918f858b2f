-- The checkpoints of a projection, by partition.
--
-- $1 projection
select
  partition_index,
  partition_total,
  position
from {checkpoints}
join {projections} on name = projection
where projection = $1
order by partition_index
