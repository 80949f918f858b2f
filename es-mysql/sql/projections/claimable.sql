-- The epoch of a partition that may be claimed, locked; no row if it may not be. What is locked is
-- skipped: a claim never waits.
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
    or lease_until <= utc_timestamp(6)
  )
  and not (select is_paused from {projections} where name = projection)
for update skip locked
