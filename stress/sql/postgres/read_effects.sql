-- Every event the projection was given, in the order it was given them.
select event_id, aggregate_id, aggregate_version, global_position
from effects
order by ordinal
