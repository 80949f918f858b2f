-- How many events the projection has handled, over all files.
select coalesce(sum(changes), 0)
from file_stats
