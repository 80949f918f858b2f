-- What holds for every partition of a projection, once the row of one is locked.
--
-- $1 projection
--
-- Sent after lock_checkpoint.sql, for a snapshot of its own: a row that had to be waited for comes
-- with the settings from before the wait if they are read in the same statement. That is one more
-- round trip for each batch.
--
-- The settings cannot change before the transaction ends: a change of them changes the epoch of
-- every partition with them. Dead letters are added by the one who has the row locked.
select
  partition_total,
  is_paused,
  exists (
    select 1
    from {dead_letters}
    where projection = name
  ) as has_dead_letters
from {projections}
where name = $1
