-- The last position that the counter of the events table has given; null if that is not known. The
-- counter may stand one beyond the largest position there is.
select cast(least(auto_increment - 1, 9223372036854775807) as signed)
from information_schema.tables
where table_schema = {schema}
  and table_name = '{name}'
