-- The wanted events of a window of positions, in position order.
--
-- $1 after this position  $2 through this position  $3 how many events, at most
-- $4 bounded contexts  $5 aggregate types  $6 event types: arrays, null for all
-- $7 number of partitions  $8 the partition
--
-- The window is a range of the primary key; the filters are checked on its rows, so that one
-- statement serves every filter. A reader below a horizon runs this in a snapshot taken
-- after the horizon was read: outside a transaction every statement has its own.
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
  metadata::text,
  correlation_id,
  causation_id,
  trace_id,
  created_at,
  recorded_at
from {events}
where global_position > $1
  and global_position <= $2
  and ($4::text[] is null or bounded_context = any ($4))
  and ($5::text[] is null or aggregate_type = any ($5))
  and ($6::text[] is null or event_type = any ($6))
  and slot % $7::integer = $8::integer
order by global_position
limit $3
