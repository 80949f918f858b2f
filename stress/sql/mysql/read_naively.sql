-- The events after a position, without regard to what may still appear before them.
--
-- ? after this position  ? how many events, at most
select event_id, aggregate_id, aggregate_version, global_position
from events
where global_position > ?
order by global_position
limit ?
