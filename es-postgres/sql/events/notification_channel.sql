-- The channel on which the trigger that `migrate-gen --notify` writes says that events were
-- appended: it carries the table's oid, so that stores in one database keep apart. And whether
-- there is a trigger that notifies, and the table's name.
select
  'es_' || {events_oid},
  exists (
    select
    from pg_trigger
    join pg_proc on pg_proc.oid = tgfoid
    where tgrelid = {events_oid}
      and tgtype & 4 <> 0 -- at an insert
      and tgenabled in ('O', 'A') -- not disabled, and not for replicas only
      and prosrc ilike '%notify%'
  ),
  ({events_oid})::regclass::text
