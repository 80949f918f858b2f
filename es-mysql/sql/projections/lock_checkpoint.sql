-- What a worker has to know of its partition, kept from changing until the transaction ends; no row
-- if it is not there.
--
-- ?1 projection  ?2 partition
--
-- It shows nothing but the locked row: if it had to wait, the row is as the other transaction left
-- it, and all else that the statement reads may be as it was before the wait. What belongs with the
-- row is read by checkpoint_settings.sql, for one more round trip.
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
for update
