-- What the start check looks at: the version the migration recorded, and whether somebody changed
-- the sequence, left it behind when the table was restored or replicated, or made the database
-- with an encoding that cannot hold every name.
--
-- The table is looked at before the sequence, as a lateral subquery must be: in the other order
-- an append in between would look as if the sequence were behind.
with
  highest as materialized (
    select coalesce(max(global_position), 0) as position
    from {events}
  )
select
  (select max(version) from {schema_versions}) as version,
  seqcache as cache_size,
  seqincrement as increment,
  seqcycle as cycles,
  current_setting('server_encoding') as encoding,
  highest.position as highest_position,
  log.last_position
from highest
cross join lateral (
  select last_value - (not is_called)::integer as last_position
  from {sequence}
  where highest.position >= 0
  offset 0
) as log
join pg_sequence on seqrelid = to_regclass({sequence_name})
