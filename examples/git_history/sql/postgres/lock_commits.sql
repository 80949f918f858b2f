-- Waits until no transaction is open that has inserted a commit, and until the caller's own ends
-- lets none begin. The server may still be committing the last one of a run that was killed.
lock table commits in share mode
