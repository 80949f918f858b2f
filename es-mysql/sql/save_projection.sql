-- Writes what an operator has set for a projection.
--
-- ? number of partitions  ? paused  ? number of partitions to come, null for none  ? projection
update {projections}
set
  partition_total = ?,
  is_paused = ?,
  rescale_to = ?
where name = ?
