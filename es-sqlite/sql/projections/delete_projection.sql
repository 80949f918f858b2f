-- Forgets a projection whose partitions are gone.
--
-- ?1 projection
delete from {projections}
where name = ?1
