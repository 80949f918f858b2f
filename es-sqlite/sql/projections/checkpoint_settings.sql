-- What holds for every partition of a projection.
--
-- ?1 projection
select
  partition_total,
  is_paused,
  exists (
    select 1
    from {dead_letters}
    where projection = name
  ) as has_dead_letters
from {projections}
where name = ?1
