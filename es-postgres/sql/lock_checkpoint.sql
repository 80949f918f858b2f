-- Where a checkpoint is, kept from moving until the transaction ends; no row if there is none.
--
-- $1 projection  $2 partition
select position
from {checkpoints}
where projection = $1
  and partition_index = $2
for update
