-- How many dead letters each partition of a projection has, by index; no row for one without any.
--
-- ?1 projection
--
-- It reads every dead letter of the projection, so it is for an operator who looks, not for each poll.
-- The cast gives the remainder a sign, whatever the columns have.
select
  cast(slot % partition_total as signed) as partition_index,
  count(*) as dead_letters
from {dead_letters}
join {projections} on name = projection
where projection = ?1
group by partition_index
order by partition_index
limit 18446744073709551615
