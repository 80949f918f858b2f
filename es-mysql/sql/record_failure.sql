-- Notes how often an event was tried; changes no row of another epoch.
--
-- ? attempts  ? position of the event  ? error, null to keep the one before  ? projection
-- ? partition  ? epoch
update {checkpoints}
set
  attempts = ?,
  failing_position = ?,
  last_error = coalesce(?, last_error)
where projection = ?
  and partition_index = ?
  and epoch = ?
