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
  attempt_began_at is not null as is_attempt_open
from {checkpoints}
where projection = ?1
  and partition_index = ?2
