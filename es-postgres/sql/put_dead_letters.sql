-- Parks events, or notes that they have failed again.
--
-- $1 projection  $2 positions  $3 bounded contexts  $4 aggregate types  $5 aggregate ids
-- $6 slots  $7 attempts  $8 errors  $9 times: arrays
insert into {dead_letters} (
  projection, position, bounded_context, aggregate_type, aggregate_id, slot,
  attempts, error, parked_at
)
select
  $1,
  letter.*
from unnest(
  $2::bigint[], $3::text[], $4::text[], $5::text[], $6::smallint[],
  $7::integer[], $8::text[], $9::timestamptz[]
) as letter
on conflict (projection, position) do update set
  attempts = excluded.attempts,
  error = excluded.error
