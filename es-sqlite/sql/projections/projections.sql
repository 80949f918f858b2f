-- The projections that were registered, by name.
select
  name,
  partition_total,
  is_paused,
  rescale_to
from {projections}
order by name
