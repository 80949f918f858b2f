-- With how many partitions a projection was first started; no row if it is not known.
--
-- $1 projection
select partition_total
from {projections}
where name = $1
