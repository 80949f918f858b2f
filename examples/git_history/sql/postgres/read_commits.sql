-- The commits whose events are in the store, and their parents.
select hash, parent
from commits
