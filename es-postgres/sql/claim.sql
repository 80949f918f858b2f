-- Makes a worker the owner of a partition, in a new epoch; no row if it may not be. What is locked
-- is skipped: a claim never waits.
--
-- $1 projection  $2 partition  $3 worker  $4 microseconds
with claimable as (
  select
    projection,
    partition_index
  from {checkpoints}
  where projection = $1
    and partition_index = $2
    and (
      owner is null
      or owner = $3
      or lease_until is null
      or lease_until <= clock_timestamp()
    )
    and not (select is_paused from {projections} where name = $1)
  for update skip locked
)
update {checkpoints} as one
set
  epoch = one.epoch + 1,
  owner = $3,
  lease_until = clock_timestamp() + $4 * interval '1 microsecond'
from claimable
where one.projection = claimable.projection
  and one.partition_index = claimable.partition_index
returning one.epoch
