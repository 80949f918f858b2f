-- Tables of another name or in another database that may be meant where one is missing: they have a
-- column that only ours have.
select
  'similar',
  case cast(column_name as char)
    when 'global_position' then '{events}'
    when 'rescale_to' then '{projections}'
    else '{checkpoints}'
  end as sought,
  cast(table_schema as char),
  cast(table_name as char),
  'u'
from information_schema.columns
where column_name in ('global_position', 'rescale_to', 'replay_until')
  and table_schema not in ('information_schema', 'mysql', 'performance_schema', 'sys')
order by
  table_schema <> coalesce({schema}, ''),
  column_name,
  table_schema,
  table_name
limit 12
