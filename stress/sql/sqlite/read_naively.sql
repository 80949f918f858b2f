-- The events after a position, without regard to what may still appear before them.
--
-- ?1 after this position  ?2 how many events, at most
select event_id, aggregate_id, aggregate_version, global_position
from events
where global_position > ?1
order by global_position
limit ?2
