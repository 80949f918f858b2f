-- Counts for some seconds.
with recursive numbers (number) as (
  select 1
  union all
  select number + 1
  from numbers
  where number < 15000000
)
select max(number)
from numbers
