-- Notes an attempt at an event, which begins now if there is no error; changes no row of another epoch.
--
-- ?1 projection  ?2 partition  ?3 epoch  ?4 attempts
-- ?5 position of the event  ?6 error, null if it begins
update {checkpoints}
set
  attempts = ?4,
  failing_position = ?5,
  attempt_began_at = case when ?6 is null then cast((julianday('now') - 2440587.5) * 86400000000 as integer) end,
  last_error = coalesce(?6, last_error)
where projection = ?1
  and partition_index = ?2
  and epoch = ?3
