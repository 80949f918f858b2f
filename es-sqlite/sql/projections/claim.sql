-- Makes a worker the owner of a partition, in a new epoch; changes no row of another epoch than the
-- one that claimable.sql has found.
--
-- ?1 projection  ?2 partition  ?3 epoch  ?4 worker  ?5 microseconds
update {checkpoints}
set
  epoch = epoch + 1,
  owner = ?4,
  lease_until = cast((julianday('now') - 2440587.5) * 86400000000 as integer) + ?5
where projection = ?1
  and partition_index = ?2
  and epoch = ?3
