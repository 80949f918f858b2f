-- Forgets the workers of a projection.
--
-- $1 projection
delete from {workers}
where projection = $1
