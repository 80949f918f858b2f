-- What the start check looks at, all as text: several statements in one round trip.
--
-- 1. to 5. What the catalog says about the tables, see `es::FoundSchema::note`. It shows a user
--    only the tables to which the user has some right.
--    In sql_mode ORACLE, `concat` takes null for nothing; with EMPTY_STRING_IS_NULL an empty
--    literal is null, and space(0) is not.
-- 6. The engine and the collation of each table.
-- 7. Whether the session can send every name, and whether the server is one whose transactions can
--    be relied on.
-- 8. The version the migration recorded. It fails if the table is not there or not to be read.
-- 9. and 10. Whether rows may be deleted, which the catalog does not say of a user's roles. Nothing
--    is. The first failure ends the statements, so the table that appends use comes first.
select
  'session' as what,
  space(0) as subject,
  concat(
    '`', substring_index(current_user(), '@', 1), '`@`', substring_index(current_user(), '@', -1), '`'
  ) as name,
  concat('database ', coalesce({schema}, '(the connection has none)')) as value,
  'h' as flags;
select
  'table',
  cast(table_name as char),
  cast(table_schema as char),
  case table_type
    when 'BASE TABLE' then 'table'
    else lower(table_type)
  end,
  'ud'
from information_schema.tables
where table_schema = {schema}
  and table_name in ({names})
limit 18446744073709551615;
select
  'column',
  cast(table_name as char),
  cast(column_name as char),
  concat(
    lower(data_type),
    case
      when lower(data_type) in ('varchar', 'binary') then concat('(', character_maximum_length, ')')
      when lower(data_type) = 'datetime' then concat('(', datetime_precision, ')')
      else space(0)
    end,
    if(column_type like '%unsigned%', ' unsigned', space(0)),
    if(collation_name <> 'utf8mb4_bin', concat(' collate ', collation_name), space(0))
  ),
  concat(
    if(find_in_set('select', privileges), 's', space(0)),
    if(find_in_set('insert', privileges), 'i', space(0)),
    if(find_in_set('update', privileges), 'u', space(0)),
    if(is_nullable = 'YES', 'n', space(0)),
    if(column_default is not null or extra like '%auto_increment%' or extra like '%generated%', 'v', space(0))
  )
from information_schema.columns
where table_schema = {schema}
  and table_name in ({names})
limit 18446744073709551615;
select
  'key',
  cast(table_name as char),
  cast(index_name as char),
  concat(column_name, if(sub_part is null, space(0), concat('(', sub_part, ')'))),
  space(0)
from information_schema.statistics
where table_schema = {schema}
  and table_name in ({names})
  and non_unique = 0
limit 18446744073709551615;
select
  'engine',
  cast(table_name as char),
  coalesce(lower(engine), 'none'),
  coalesce(table_collation, space(0)),
  space(0)
from information_schema.tables
where table_schema = {schema}
  and table_name in ({names})
  and table_type = 'BASE TABLE'
limit 18446744073709551615;
select
  'settings' as name,
  concat_ws(
    ' ',
    @@character_set_client,
    @@character_set_connection,
    if(@@unique_checks, null, 'unique_checks')
  ) as value;
select
  'character_set_results' as name,
  coalesce(@@character_set_results, 'utf8mb4') as value;
show global variables
where variable_name in ('wsrep_on', 'group_replication_single_primary_mode');
select
  'version',
  space(0),
  space(0),
  cast(max(version) as char),
  space(0)
from {schema_versions};
explain
delete
from {appenders}
where false;
explain
delete checkpoint, worker, dead_letter
from {checkpoints} as checkpoint
join {workers} as worker
join {dead_letters} as dead_letter
where false
