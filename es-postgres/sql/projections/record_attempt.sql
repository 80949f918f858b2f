-- Notes an attempt at an event, which begins now if there is no error; changes no row of another epoch.
--
-- $1 projection  $2 partition  $3 epoch  $4 attempts
-- $5 position of the event  $6 error, null if it begins
update {checkpoints}
set
  attempts = $4,
  failing_position = $5,
  attempt_began_at = case when $6::text is null then clock_timestamp() end,
  last_error = coalesce($6, last_error)
where projection = $1
  and partition_index = $2
  and epoch = $3
