-- Counts for some seconds.
with recursive numbers (number) as (
  select 1
  union all
  select number + 1
  from numbers
  where number < 6000000
)
select max(number)
from numbers
