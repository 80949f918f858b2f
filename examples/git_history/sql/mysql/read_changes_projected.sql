-- How many events the projection has handled, over all files. The sum of bigints is a decimal.
select cast(coalesce(sum(changes), 0) as signed)
from file_stats
