-- Moves a checkpoint, if it is where the worker left it; changes no row otherwise.
--
-- ? to  ? projection  ? partition  ? from
update {checkpoints}
set
  position = ?,
  updated_at = utc_timestamp(6)
where projection = ?
  and partition_index = ?
  and position = ?
