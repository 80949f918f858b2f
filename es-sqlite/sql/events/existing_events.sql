-- What the store holds under some event ids: asked only when an append wrote nothing.
--
-- ?1 a JSON array of the ids as hexadecimal text, since SQLite has no arrays and JSON no bytes
select
  event_id,
  bounded_context,
  aggregate_type,
  aggregate_id,
  aggregate_version,
  global_position
from {events}
where event_id in (select unhex(value) from json_each(?1))
