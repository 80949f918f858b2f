-- What the store holds under some event ids: asked only when an append wrote nothing.
--
-- $1 the ids
--
-- Looked up one by one, in a subquery that cannot become a join: a plan that was made while the
-- table was empty, and is kept, must not scan it when it is large.
--
-- The sequence may have gone back, as when it was not restored with the table: then there is a
-- position above its last value, and the append could only land where readers have been. There is
-- always a row to say so.
select
  found.event_id,
  found.bounded_context,
  found.aggregate_type,
  found.aggregate_id,
  found.aggregate_version,
  found.global_position,
  log.last_position,
  log.position_above
from (
  select
    last_value - (not is_called)::integer as last_position,
    (
      select global_position
      from {events}
      where global_position > last_value - (not is_called)::integer
      order by global_position desc
      limit 1
    ) as position_above
  from {sequence}
  offset 0
) as log
left join (
  select found.*
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
) as found on true
