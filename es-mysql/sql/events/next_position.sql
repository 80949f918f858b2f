-- The first position after one that holds an event, through another; null if there is none.
--
-- Sent as text, in a transaction of its own as read_window.sql is.
set transaction isolation level read committed;
start transaction;
select min(global_position) as position
from {events}
where global_position > {after}
  and global_position <= {through};
commit and no chain no release
