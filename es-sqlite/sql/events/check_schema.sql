-- What the start check looks at, see `es::FoundSchema::note`. A temporary table of the same name
-- would be found first, so it is looked at instead. The primary key is no index if it is the number
-- of the row. Tables of other names are looked for by a column that only ours have.
with
  sought (name, mark) as (
    values
      {names}
  ),
  relation as (
    select
      listed.schema,
      sought.name,
      listed.name as actual,
      case
        when listed.schema = 'temp' then 'temporary table'
        when listed.type <> 'table' then listed.type || ' table'
        when not listed.strict then 'table that is not strict'
        else 'table'
      end as kind,
      coalesce(text.sql, '') like '%primary key autoincrement%' as counts_up
    from sought
    join pragma_table_list as listed on listed.name = sought.name collate nocase
    left join sqlite_schema as text on text.name = listed.name and listed.schema = 'main'
    where listed.schema in ('main', 'temp')
  ),
  found as (
    select *
    from relation
    where schema = 'temp'
      or name not in (
        select name
        from relation
        where schema = 'temp'
      )
  )
select
  'session' as what,
  '' as subject,
  '' as name,
  'the database file ' || coalesce(file, '') as value,
  '' as flags
from pragma_database_list
where name = 'main'
union all
select 'table', name, '', iif(kind = 'view table', 'view', kind), 'ud'
from found
union all
select
  'column',
  found.name,
  is_.name,
  lower(is_.type) || iif(is_.name = 'global_position' and counts_up, ' autoincrement', ''),
  'siu' || iif(is_."notnull", '', 'n') || iif(is_.dflt_value is null, '', 'v')
from found
join pragma_table_info(found.actual, found.schema) as is_
union all
select 'key', found.name, '(primary key)', is_.name, ''
from found
join pragma_table_info(found.actual, found.schema) as is_
where pk > 0
union all
select 'key', found.name, listed.name, part.name, ''
from found
join pragma_index_list(found.actual, found.schema) as listed
join pragma_index_info(listed.name, found.schema) as part
where "unique"
  and not partial
union all
select 'similar', sought.name, '', other.name, 'u'
from sought
join sqlite_schema as other on other.type = 'table'
join pragma_table_info(other.name) as is_ on is_.name = sought.mark
where sought.name not in (
  select name
  from found
)
