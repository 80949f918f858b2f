-- Makes a checkpoint at the start of the log unless there is one, and gives back where it is.
--
-- ?1 projection  ?2 partition
insert into {checkpoints} (projection, partition_index, position, updated_at)
values (?1, ?2, 0, cast((julianday('now') - 2440587.5) * 86400000000 as integer))
on conflict (projection, partition_index) do update set position = position
returning position
