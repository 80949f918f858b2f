-- Lets a lease last longer; changes no row of another epoch.
--
-- ? microseconds  ? projection  ? partition  ? epoch
update {checkpoints}
set lease_until = utc_timestamp(6) + interval ? microsecond
where projection = ?
  and partition_index = ?
  and epoch = ?
