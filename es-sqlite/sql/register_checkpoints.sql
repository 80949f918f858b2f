-- Makes the checkpoints of a projection that has just been registered: one for each partition, at
-- the start of the log. One that is missing later has been deleted, and is not made again.
--
-- ?1 projection  ?2 number of partitions
with recursive
  partition (number) as (
    select 0
    union all
    select number + 1
    from partition
    where number + 1 < ?2
  )
insert into {checkpoints} (projection, partition_index, position, updated_at)
select ?1, number, 0, cast((julianday('now') - 2440587.5) * 86400000000 as integer)
from partition
where true
on conflict (projection, partition_index) do nothing
