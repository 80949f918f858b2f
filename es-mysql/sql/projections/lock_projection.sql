-- A projection, kept from being changed until the transaction ends; no row if it is not known.
--
-- ?1 projection
select
  name,
  partition_total,
  is_paused,
  rescale_to
from {projections}
where name = ?1
for update
