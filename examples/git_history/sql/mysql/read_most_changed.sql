-- The files with most changes, and how many authors each has.
-- ? number of files
select path, changes, binary_changes, added, deleted,
    (select count(*) from file_authors where file_authors.path = file_stats.path)
from file_stats
order by changes desc, path
limit ?
