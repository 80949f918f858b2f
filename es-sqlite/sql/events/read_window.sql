-- The wanted events of a window of positions, in position order.
--
-- ?1 after this position  ?2 through this position  ?3 how many events, at most
-- ?4 bounded contexts  ?5 aggregate types  ?6 event types: JSON arrays, null for all
-- ?7 number of partitions  ?8 the partition
--
-- The window is a range of the primary key; the filters are checked on its rows, so that one
-- statement serves every filter and no filter makes SQLite leave the primary key.
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
  created_at,
  recorded_at
from {events}
where global_position > ?1
  and global_position <= ?2
  and (?4 is null or bounded_context in (select value from json_each(?4)))
  and (?5 is null or aggregate_type in (select value from json_each(?5)))
  and (?6 is null or event_type in (select value from json_each(?6)))
  and slot % ?7 = ?8
order by global_position
limit ?3
