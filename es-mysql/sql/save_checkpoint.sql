-- Moves a checkpoint, if it is where and as the worker left it and not held back; changes no row
-- otherwise.
--
-- ? to  ? microseconds to extend the lease by, null for none  ? projection  ? partition  ? from
-- ? epoch  ? to
update {checkpoints}
set
  position = ?,
  updated_at = utc_timestamp(6),
  lease_until = coalesce(utc_timestamp(6) + interval ? microsecond, lease_until),
  attempts = 0,
  failing_position = null,
  attempt_began_at = null,
  last_error = null
where projection = ?
  and partition_index = ?
  and position = ?
  and epoch = ?
  and (
    stop_at is null
    or stop_at >= ?
  )
