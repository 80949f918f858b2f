-- Every event a projection was given, in the order it was given them.
--
-- $1 projection
select event_id, aggregate_id, aggregate_version, global_position
from fault_effects
where projection = $1
order by ordinal
