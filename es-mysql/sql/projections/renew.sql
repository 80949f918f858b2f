-- Lets a lease last longer; changes no row of another epoch.
--
-- ?1 projection  ?2 partition  ?3 epoch  ?4 microseconds
update {checkpoints}
set lease_until = utc_timestamp(6) + interval ?4 microsecond
where projection = ?1
  and partition_index = ?2
  and epoch = ?3
