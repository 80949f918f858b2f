-- Notes an attempt at an event, which begins now if there is no error; changes no row of another epoch.
--
-- ? attempts  ? position of the event  ? error, null if it begins  ? error again  ? projection
-- ? partition  ? epoch
update {checkpoints}
set
  attempts = ?,
  failing_position = ?,
  attempt_began_at = if(? is null, utc_timestamp(6), null),
  last_error = coalesce(?, last_error)
where projection = ?
  and partition_index = ?
  and epoch = ?
