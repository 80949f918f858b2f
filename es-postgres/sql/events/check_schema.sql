-- What the start check looks at, all as text: two statements in one round trip, sent without a
-- name, because prepared ones go one at a time.
--
-- 1. What the catalog says about the tables, see `es::FoundSchema::note`. Every role may read it,
--    whatever rights it has to the tables. Names are looked up by hand and not by to_regclass,
--    which passes over a schema that the role may not use, or fails. Tables of other names are
--    looked for by a column that only ours have, and only if one is missing; those in a schema that
--    the search path names come first.
-- 2. The version the migration recorded, and whether somebody changed the sequence, left it where
--    it was when the table was restored or replicated, or made the database with an encoding that
--    cannot hold every name. It fails if the tables are not there or not to be read; the first
--    answer then says why.
--
--    The table is looked at before the sequence, as a lateral subquery must be: in the other order
--    an append in between would look as if the sequence were behind.
with
  path (schema, place) as (
    {path}
  ),
  sought (name, mark) as (
    values
      {names}
  ),
  found as materialized (
    select distinct on (sought.name)
      sought.name::text,
      relation.oid,
      relkind,
      relpersistence,
      nspname,
      has_schema_privilege(namespace.oid, 'usage') as usable
    from sought
    join pg_class as relation on relname = sought.name
    join pg_namespace as namespace on namespace.oid = relnamespace
    join path on path.schema = nspname
    where relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    order by sought.name, path.place
  )
select
  'session' as what,
  '' as subject,
  quote_ident(current_user) as name,
  {place} as value,
  '' as flags
union all
select
  'table',
  found.name,
  nspname::text,
  case
    when relkind = 'S' then 'sequence'
    when relkind in ('v', 'm') then 'view'
    when relkind = 'f' then 'foreign table'
    when relpersistence = 'u' then 'table that a crash empties (unlogged)'
    when relpersistence = 't' then 'temporary table'
    else 'table'
  end,
  concat(
    case when usable then 'u' end,
    case when relkind = 'S' and has_sequence_privilege(oid, 'select') then 's' end,
    case when relkind <> 'S' and has_table_privilege(oid, 'delete') then 'd' end,
    case when relkind <> 'S' and row_security_active(oid) then 'h' end
  )
from found
union all
select
  'column',
  found.name,
  attname::text,
  concat(
    format_type(atttypid, null),
    (
      select ' collate ' || quote_ident(collname)
      from pg_collation
      where pg_collation.oid = attcollation
        and not collisdeterministic
    )
  ),
  concat(
    case when has_column_privilege(found.oid, attnum, 'select') then 's' end,
    case when has_column_privilege(found.oid, attnum, 'insert') then 'i' end,
    case when has_column_privilege(found.oid, attnum, 'update') then 'u' end,
    case when not attnotnull then 'n' end,
    case when atthasdef or attidentity <> '' then 'v' end
  )
from found
join pg_attribute on attrelid = found.oid
where attnum > 0
  and not attisdropped
  and relkind <> 'S'
union all
select
  'key',
  found.name,
  indexrelid::text,
  attname::text,
  ''
from found
join pg_index on indrelid = found.oid
cross join unnest(indkey::smallint[]) with ordinality as part (number, place)
join pg_attribute on attrelid = indrelid and attnum = number
where place <= indnkeyatts
  and indisunique
  and indisvalid
  and indimmediate
  and indpred is null
  and indexprs is null
union all
(
  select
    'similar',
    sought.name,
    nspname::text,
    relname::text,
    concat(
      case when has_schema_privilege(namespace.oid, 'usage') then 'u' end,
      case when {is_named} then 'p' end
    )
  from sought
  join pg_attribute on attname = sought.mark
  join pg_class as relation on relation.oid = attrelid
  join pg_namespace as namespace on namespace.oid = relnamespace
  where relkind in ('r', 'p')
    and not pg_is_other_temp_schema(namespace.oid)
    and not attisdropped
    and exists (
      select
      from sought as missing
      where missing.mark <> ''
        and missing.name not in (
          select name
          from found
        )
    )
    and sought.name not in (
      select name
      from found
    )
  order by
    not {is_named},
    relname <> sought.name,
    sought.mark <> 'global_position',
    nspname,
    relname
  limit 10
);
with
  highest as materialized (
    select coalesce(max(global_position), 0) as position
    from {events}
  )
select
  (
    select max(version)::text
    from {schema_versions}
  ) as version,
  seqcache::text as cache_size,
  seqincrement::text as increment,
  seqcycle::text as cycles,
  current_setting('server_encoding') as encoding,
  highest.position::text as highest_position,
  log.last_position::text
from highest
cross join lateral (
  select last_value - (not is_called)::integer as last_position
  from {sequence}
  where highest.position >= 0
  offset 0
) as log
join pg_sequence on seqrelid = to_regclass({sequence_name})
