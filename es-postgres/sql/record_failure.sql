-- Notes how often an event was tried; changes no row of another epoch.
--
-- $1 projection  $2 partition  $3 epoch  $4 attempts
-- $5 position of the event  $6 error, null to keep the one before
update {checkpoints}
set
  attempts = $4,
  failing_position = $5,
  last_error = coalesce($6, last_error)
where projection = $1
  and partition_index = $2
  and epoch = $3
