-- Removes the partitions of a projection from one on.
--
-- ? projection  ? partition
delete from {checkpoints}
where projection = ?
  and partition_index >= ?
