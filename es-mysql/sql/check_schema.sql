-- What the start check looks at: the version the migration recorded, whether the tables are what
-- the migration made them, whether the session can send every name, and whether the server is one
-- whose transactions can be relied on. Several statements in one round trip.
select
  '' as name,
  cast(max(version) as char) as value
from {schema_versions};
select
  concat(table_name, '.', coalesce(lower(engine), 'view')) as name,
  coalesce(table_collation, '') as value
from information_schema.tables
where table_schema = {schema}
  and table_name in ({names})
limit 18446744073709551615;
select
  'character_set_client' as name,
  @@character_set_client as value;
show global variables
where variable_name in ('wsrep_on', 'group_replication_single_primary_mode')
