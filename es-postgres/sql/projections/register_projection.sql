-- Remembers with how many partitions a projection was first started.
--
-- $1 projection  $2 number of partitions
insert into {projections} (name, partition_total)
values ($1, $2)
on conflict (name) do nothing
