-- Makes the checkpoints of a projection that has just been registered: one for each partition, at
-- the start of the log. One that is missing later has been deleted, and is not made again.
--
-- $1 projection  $2 partitions, a JSON array
insert into {checkpoints} (projection, partition_index, position)
select $1, value::integer, 0
from json_array_elements_text($2::text::json)
on conflict (projection, partition_index) do nothing
