-- The checkpoints of a projection, by partition.
--
-- ? projection
select
  partition_index,
  partition_total,
  position
from {checkpoints}
join {projections} on name = projection
where projection = ?
order by partition_index
limit 18446744073709551615
