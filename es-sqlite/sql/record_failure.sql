-- Notes how often an event has failed; changes no row of another epoch.
--
-- ?1 projection  ?2 partition  ?3 epoch  ?4 attempts  ?5 error
update {checkpoints}
set
  attempts = ?4,
  last_error = ?5
where projection = ?1
  and partition_index = ?2
  and epoch = ?3
