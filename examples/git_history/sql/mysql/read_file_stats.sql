-- The projected statistics of every file, for verification.
select path, changes, binary_changes, added, deleted
from file_stats
