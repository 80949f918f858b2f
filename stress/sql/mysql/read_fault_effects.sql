-- Every event a projection was given, in the order it was given them.
--
-- ? projection
select event_id, aggregate_id, aggregate_version, global_position
from fault_effects
where projection = ?
order by ordinal
