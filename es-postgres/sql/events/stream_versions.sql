-- The versions of those of some streams that have events: of each one step down the end of its
-- index.
--
-- $1 bounded contexts  $2 aggregate types  $3 aggregate ids: arrays
select
  stream.bounded_context,
  stream.aggregate_type,
  stream.aggregate_id,
  last.aggregate_version
from unnest($1::text[], $2::text[], $3::text[])
  as stream (bounded_context, aggregate_type, aggregate_id)
cross join lateral (
  select aggregate_version
  from {events} as event
  where event.bounded_context = stream.bounded_context
    and event.aggregate_type = stream.aggregate_type
    and event.aggregate_id = stream.aggregate_id
  order by aggregate_version desc
  limit 1
) as last
