-- A projection, kept from being changed until the transaction ends; no row if it is not known.
-- The transaction began with BEGIN IMMEDIATE, so there is nothing to lock.
--
-- ?1 projection
select
  name,
  partition_total,
  is_paused,
  rescale_to
from {projections}
where name = ?1
