-- With how many partitions a projection was first started; no row if it is not known.
--
-- ? projection
select partition_total
from {projections}
where name = ?
lock in share mode
