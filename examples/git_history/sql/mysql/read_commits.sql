-- The commits whose events are in the store, and their parents. Waits for every transaction that
-- has inserted one and is open: the server may still be committing the last one of a run that was
-- killed.
select hash, parent
from commits
lock in share mode
