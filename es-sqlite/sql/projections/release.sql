-- Makes a partition free; changes no row of another epoch.
--
-- ?1 projection  ?2 partition  ?3 epoch
update {checkpoints}
set
  owner = null,
  lease_until = null
where projection = ?1
  and partition_index = ?2
  and epoch = ?3
