-- How many dead letters each partition of a projection has, by index; no row for one without any.
--
-- $1 projection
--
-- It reads every dead letter of the projection, so it is for an operator who looks, not for each poll.
select
  slot % partition_total as partition_index,
  count(*) as dead_letters
from {dead_letters}
join {projections} on name = projection
where projection = $1
group by partition_index
order by partition_index
