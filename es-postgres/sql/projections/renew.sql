-- Lets a lease last longer; changes no row of another epoch.
--
-- $1 projection  $2 partition  $3 epoch  $4 microseconds
update {checkpoints}
set lease_until = clock_timestamp() + $4 * interval '1 microsecond'
where projection = $1
  and partition_index = $2
  and epoch = $3
