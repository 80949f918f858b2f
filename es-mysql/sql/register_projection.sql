-- Remembers with how many partitions a projection was first started; error 1062, which undoes
-- nothing else, if it is known.
--
-- ? projection  ? number of partitions
insert into {projections} (name, partition_total)
values (?, ?)
