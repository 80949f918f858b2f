-- How far the log can be read, and who keeps it from being read further: one round trip of
-- statements whose order is everything here. Each `set transaction` is for the transaction behind
-- it alone; inside a transaction the server refuses it with error 1568. The transactions are begun
-- and ended by name, so that a level is used up before a select can fail, and nothing stays open
-- where autocommit is off.
--
-- `known` is a position through which the caller knows the log to be complete. If none was drawn
-- since, the announcements are not read: an idle poll looks at the end of the log only.
--
-- READ UNCOMMITTED shows the newest version of each row, READ COMMITTED the newest committed one:
-- an announcement that differs between the two belongs to a transaction that is open.
--
-- 1. The last position, committed or not. An append that announces itself after this draws above it.
-- 2. The announcements, committed or not.
-- 3. The announcements that are committed: after 2, so that an announcement that looks committed
--    there and here is, and so are the events behind it.
-- 4. The last committed position: the log is read no further. What was drawn beyond it can still
--    be rolled back, and then the end of the log would go back. And the last number the table's
--    counter has given: where that is higher, the end of the log was rolled back, or deleted.
--    (MySQL shows the counter as it was up to a day ago, see information_schema_stats_expiry.)
--
-- A commit ends the transaction whatever completion_type says.
--
-- The limits are the largest there are: a session may have one of its own (sql_select_limit).
set transaction isolation level read uncommitted;
start transaction;
select coalesce(max(global_position), 0)
into @es_end
from {events};
select
  1 as part,
  connection_id,
  seq,
  low_position,
  first_low_position,
  timestampdiff(microsecond, announced_at, utc_timestamp(6)) as age
from {appenders}
where @es_end > {known}
limit 18446744073709551615;
commit and no chain no release;
set transaction isolation level read committed;
start transaction;
select
  2 as part,
  connection_id,
  seq,
  low_position,
  first_low_position,
  timestampdiff(microsecond, announced_at, utc_timestamp(6)) as age
from {appenders}
where @es_end > {known}
limit 18446744073709551615;
select
  3 as part,
  coalesce(max(global_position), 0) as committed_end,
  cast(@es_end as signed) as log_end,
  cast(@@global.read_only as char) as read_only,
  (
    {last_drawn}
  ) as last_drawn
from {events};
commit and no chain no release
