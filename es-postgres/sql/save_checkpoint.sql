-- Moves a checkpoint, if it is where the worker left it; changes no row otherwise.
--
-- $1 projection  $2 partition  $3 from  $4 to
update {checkpoints}
set
  position = $4,
  updated_at = now()
where projection = $1
  and partition_index = $2
  and position = $3
