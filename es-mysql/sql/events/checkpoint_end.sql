-- How far any projection has come: the log was complete through there. In a transaction of its own,
-- in which nothing stays open where autocommit is off.
set transaction isolation level read committed;
start transaction;
select coalesce(max(position), 0) as position
from {checkpoints};
commit and no chain no release
