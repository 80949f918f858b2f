-- What the start check looks at: the version the migration recorded, whether the tables are what
-- the migration made them, and whether the server is one whose transactions can be relied on.
-- Three statements in one round trip.
select
  '' as name,
  cast(max(version) as char) as value
from {schema_versions};
select
  concat(table_name, '.', lower(engine)) as name,
  table_collation as value
from information_schema.tables
where table_schema = {schema}
  and table_name in ({names});
show global variables
where variable_name in ('wsrep_on', 'group_replication_single_primary_mode')
