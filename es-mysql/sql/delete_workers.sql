-- Forgets the workers of a projection.
--
-- ? projection
delete from {workers}
where projection = ?
