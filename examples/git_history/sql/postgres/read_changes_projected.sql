-- How many events the projection has handled, over all files. The sum of bigints is a numeric.
select coalesce(sum(changes), 0)::bigint
from file_stats
