-- Removes the partitions of a projection from one on.
--
-- ?1 projection  ?2 partition
delete from {checkpoints}
where projection = ?1
  and partition_index >= ?2
