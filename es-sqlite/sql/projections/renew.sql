-- Lets a lease last longer; changes no row of another epoch.
--
-- ?1 projection  ?2 partition  ?3 epoch  ?4 microseconds
update {checkpoints}
set lease_until = cast((julianday('now') - 2440587.5) * 86400000000 as integer) + ?4
where projection = ?1
  and partition_index = ?2
  and epoch = ?3
