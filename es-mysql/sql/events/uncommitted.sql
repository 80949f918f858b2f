-- A stretch of positions, as they are with and without what is not committed: a position that
-- stands only in the first answer belongs to an open transaction, or was rolled back just now.
--
-- Sent as text: after one position, through another, how many at most. See `horizon.sql`.
set transaction isolation level read uncommitted;
start transaction;
select
  1 as part,
  global_position
from {events} force index (primary)
where global_position > {after}
  and global_position <= {through}
order by global_position
limit {limit};
commit and no chain no release;
set transaction isolation level read committed;
start transaction;
select
  2 as part,
  global_position
from {events} force index (primary)
where global_position > {after}
  and global_position <= {through}
order by global_position
limit {limit};
commit and no chain no release
