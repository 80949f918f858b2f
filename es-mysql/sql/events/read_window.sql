-- The wanted events of a window of positions, in position order.
--
-- Several statements in one round trip, sent as text with hexadecimal literals. Whatever the
-- session's isolation level is, the rows are committed ones, as of a snapshot taken now. Inside a
-- transaction, whose snapshot may be older than the horizon, the server refuses the first with
-- error 1568.
--
-- 1. How far this server can see, and whether it is a primary: another connection may have asked
--    another server for the horizon. If it sees less than is `needed`, the table's counter tells
--    whether the end of the log was deleted.
-- 2. The events. The window is a range of the primary key; the filters are checked on its rows.
set transaction isolation level read committed;
start transaction;
select
  case
    when coalesce(max(global_position), 0) >= {needed}
    then coalesce(max(global_position), 0)
    else greatest(
      coalesce(max(global_position), 0),
      coalesce(
        (
          {last_drawn}
        ),
        0
      )
    )
  end as committed_end,
  cast(@@global.read_only as char) as read_only
from {events};
select
  global_position,
  cast(bounded_context as binary) as bounded_context,
  cast(aggregate_type as binary) as aggregate_type,
  cast(aggregate_id as binary) as aggregate_id,
  aggregate_version,
  event_id,
  cast(event_type as binary) as event_type,
  event_version,
  payload,
  cast(metadata as binary) as metadata,
  cast(correlation_id as binary) as correlation_id,
  cast(causation_id as binary) as causation_id,
  cast(trace_id as binary) as trace_id,
  created_at,
  recorded_at
from {events} force index (primary)
where global_position > {after}
  and global_position <= {through}
  {filters}
order by global_position
limit {limit};
commit and no chain no release
