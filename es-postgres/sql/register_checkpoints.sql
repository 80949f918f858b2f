-- Makes the checkpoints of a projection that has just been registered: one for each partition, at
-- the start of the log. One that is missing later has been deleted, and is not made again.
--
-- $1 projection  $2 number of partitions
insert into {checkpoints} (projection, partition_index, position)
select $1, number, 0
from generate_series(0, $2::integer - 1) as number
on conflict (projection, partition_index) do nothing
