-- Writes what an operator has set for a projection.
--
-- ?1 projection  ?2 number of partitions  ?3 paused
-- ?4 number of partitions to come, null for none
update {projections}
set
  partition_total = ?2,
  is_paused = ?3,
  rescale_to = ?4
where name = ?1
