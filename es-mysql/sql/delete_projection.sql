-- Forgets a projection whose partitions are gone.
--
-- ? projection
delete from {projections}
where name = ?
