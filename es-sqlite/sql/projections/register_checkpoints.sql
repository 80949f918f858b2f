-- Makes the checkpoints of a projection that has just been registered: one for each partition, at
-- the start of the log. One that is missing later has been deleted, and is not made again.
--
-- ?1 projection  ?2 partitions, a JSON array
insert into {checkpoints} (projection, partition_index, position, updated_at)
select ?1, value, 0, cast((julianday('now') - 2440587.5) * 86400000000 as integer)
from json_each(?2)
where true
on conflict (projection, partition_index) do nothing
