-- Moves a checkpoint, if it is where and as the worker left it and not held back; changes no row
-- otherwise.
--
-- ?1 projection  ?2 partition  ?3 from  ?4 to  ?5 epoch
-- ?6 microseconds to extend the lease by, null for none
update {checkpoints}
set
  position = ?4,
  updated_at = cast((julianday('now') - 2440587.5) * 86400000000 as integer),
  lease_until = coalesce(cast((julianday('now') - 2440587.5) * 86400000000 as integer) + ?6, lease_until),
  attempts = 0,
  failing_position = null,
  attempt_began_at = null,
  last_error = null
where projection = ?1
  and partition_index = ?2
  and position = ?3
  and epoch = ?5
  and (
    stop_at is null
    or stop_at >= ?4
  )
