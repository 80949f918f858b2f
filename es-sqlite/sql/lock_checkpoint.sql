-- Where a checkpoint is; no row if there is none. The transaction began with BEGIN IMMEDIATE,
-- so nobody else can move it until it ends.
--
-- ?1 projection  ?2 partition
select position
from {checkpoints}
where projection = ?1
  and partition_index = ?2
