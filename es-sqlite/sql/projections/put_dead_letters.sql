-- Parks events, or notes that they have failed again.
--
-- ?1 projection
-- ?2 a JSON array with an array for each: position, bounded context, aggregate type, aggregate id,
--    slot, attempts, error, microseconds since 1970
insert into {dead_letters} (
  projection, position, bounded_context, aggregate_type, aggregate_id, slot,
  attempts, error, parked_at
)
select
  ?1,
  value ->> 0,
  value ->> 1,
  value ->> 2,
  value ->> 3,
  value ->> 4,
  value ->> 5,
  value ->> 6,
  value ->> 7
from json_each(?2)
where true
on conflict (projection, position) do update set
  attempts = excluded.attempts,
  error = excluded.error
