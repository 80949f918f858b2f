-- The epoch of a partition that may be claimed, locked; no row if it may not be. What is locked
-- is skipped: a claim never waits.
--
-- ? projection  ? partition  ? worker
select epoch
from {checkpoints}
where projection = ?
  and partition_index = ?
  and (
    owner is null
    or owner = ?
    or lease_until is null
    or lease_until <= utc_timestamp(6)
  )
  and not (select is_paused from {projections} where name = projection)
for update skip locked
