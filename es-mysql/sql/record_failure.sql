-- Notes how often an event has failed; changes no row of another epoch.
--
-- ? attempts  ? error  ? projection  ? partition  ? epoch
update {checkpoints}
set
  attempts = ?,
  last_error = ?
where projection = ?
  and partition_index = ?
  and epoch = ?
