-- Where a checkpoint is, kept from moving until the transaction ends; no row if there is none.
--
-- ? projection  ? partition
select position
from {checkpoints}
where projection = ?
  and partition_index = ?
for update
