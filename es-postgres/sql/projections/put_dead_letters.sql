-- Parks events, or notes that they have failed again.
--
-- $1 projection
-- $2 a JSON array with an array for each: position, bounded context, aggregate type, aggregate id,
--    slot, attempts, error, microseconds since 1970
insert into {dead_letters} (
  projection, position, bounded_context, aggregate_type, aggregate_id, slot,
  attempts, error, parked_at
)
select
  $1,
  (value ->> 0)::bigint,
  value ->> 1,
  value ->> 2,
  value ->> 3,
  (value ->> 4)::smallint,
  (value ->> 5)::integer,
  value ->> 6,
  'epoch'::timestamptz
    + (value ->> 7)::bigint / 1000000 * interval '1 second'
    + (value ->> 7)::bigint % 1000000 * interval '1 microsecond'
from json_array_elements($2::text::json)
on conflict (projection, position) do update set
  attempts = excluded.attempts,
  error = excluded.error
