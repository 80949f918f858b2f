-- What a worker has to know of its partition; no row if it is not there. The transaction began with
-- BEGIN IMMEDIATE, so nobody else can change it until it ends.
--
-- ?1 projection  ?2 partition
select
  position,
  epoch,
  replay_until,
  stop_at,
  attempts,
  failing_position,
  attempt_began_at is not null as is_attempt_open,
  (select partition_total from {projections} where name = projection) as partition_total,
  (select is_paused from {projections} where name = projection) as is_paused,
  exists (
    select 1
    from {dead_letters} as letter
    where letter.projection = checkpoint.projection
  ) as has_dead_letters
from {checkpoints} as checkpoint
where projection = ?1
  and partition_index = ?2
