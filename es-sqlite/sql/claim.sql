-- Makes a worker the owner of a partition, in a new epoch; no row if it may not be.
--
-- ?1 projection  ?2 partition  ?3 worker  ?4 microseconds
update {checkpoints}
set
  epoch = epoch + 1,
  owner = ?3,
  lease_until = cast((julianday('now') - 2440587.5) * 86400000000 as integer) + ?4
where projection = ?1
  and partition_index = ?2
  and (
    owner is null
    or owner = ?3
    or lease_until is null
    or lease_until <= cast((julianday('now') - 2440587.5) * 86400000000 as integer)
  )
  and not (select is_paused from {projections} where name = ?1)
returning epoch
