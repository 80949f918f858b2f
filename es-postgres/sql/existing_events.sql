-- What the store holds under some event ids: asked only when an append wrote nothing.
--
-- $1 the ids
--
-- Looked up one by one, in a subquery that cannot become a join: a plan that was made while the
-- table was empty, and is kept, must not scan it when it is large.
select
  found.event_id,
  found.bounded_context,
  found.aggregate_type,
  found.aggregate_id,
  found.aggregate_version,
  found.global_position
from unnest($1::uuid[]) as wanted (id)
cross join lateral (
  select
    event_id,
    bounded_context,
    aggregate_type,
    aggregate_id,
    aggregate_version,
    global_position
  from {events}
  where event_id = wanted.id
  offset 0
) as found
