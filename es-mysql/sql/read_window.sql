-- The wanted events of a window of positions, in position order.
--
-- Two statements in one round trip, sent as text with hexadecimal literals. The first is for the
-- second alone: whatever the session's isolation level is, the rows are committed ones, as of a
-- snapshot taken now. Inside a transaction, whose snapshot may be older than the horizon, the
-- server refuses it with error 1568.
--
-- The window is a range of the primary key; the filters are checked on its rows.
set transaction isolation level read committed;
select
  global_position,
  bounded_context,
  aggregate_type,
  aggregate_id,
  aggregate_version,
  event_id,
  event_type,
  event_version,
  payload,
  metadata,
  correlation_id,
  causation_id,
  trace_id,
  created_at
from {events} force index (primary)
where global_position > {after}
  and global_position <= {through}
  {filters}
order by global_position
limit {limit}
