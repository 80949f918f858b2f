-- Makes a partition free; changes no row of another epoch.
--
-- ? projection  ? partition  ? epoch
update {checkpoints}
set
  owner = null,
  lease_until = null
where projection = ?
  and partition_index = ?
  and epoch = ?
