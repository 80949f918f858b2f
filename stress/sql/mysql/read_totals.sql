-- What the projection counted for each aggregate.
select aggregate_id, events, last_version
from totals
