-- Makes the checkpoints of a projection that has just been registered: one for each partition, at
-- the start of the log. One that is missing later has been deleted, and is not made again.
--
-- The rows are literals: no way to count up is known to both servers without a limit of its own.
insert into {checkpoints} (projection, partition_index, position)
values {rows}
