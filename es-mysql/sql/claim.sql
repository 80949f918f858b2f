-- Makes a worker the owner of a partition that claimable.sql has locked, in a new epoch.
--
-- ? worker  ? microseconds  ? projection  ? partition
update {checkpoints}
set
  epoch = epoch + 1,
  owner = ?,
  lease_until = utc_timestamp(6) + interval ? microsecond
where projection = ?
  and partition_index = ?
