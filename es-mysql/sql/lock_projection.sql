-- A projection, kept from being changed until the transaction ends; no row if it is not known.
--
-- ? projection
select
  name,
  partition_total,
  is_paused,
  rescale_to
from {projections}
where name = ?
for update
