-- Remembers with how many partitions a projection was first started; changes nothing if it is known.
-- What `ignore` passes over is a name that is there: it leaves the server no other error to ignore,
-- for the values are checked before.
--
-- ?1 projection  ?2 number of partitions
insert ignore into {projections} (name, partition_total)
values (?1, ?2)
