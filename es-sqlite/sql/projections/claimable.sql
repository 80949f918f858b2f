-- The epoch of a partition that may be claimed; no row if it may not be. The transaction began with
-- BEGIN IMMEDIATE, so there is nothing to lock.
--
-- ?1 projection  ?2 partition  ?3 worker
select epoch
from {checkpoints}
where projection = ?1
  and partition_index = ?2
  and (
    owner is null
    or owner = ?3
    or lease_until is null
    or lease_until <= cast((julianday('now') - 2440587.5) * 86400000000 as integer)
  )
  and not (select is_paused from {projections} where name = ?1)
