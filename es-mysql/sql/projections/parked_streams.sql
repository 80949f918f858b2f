-- The streams that have dead letters, among those with some aggregate ids.
--
-- ?1 projection  ?2 aggregate ids, a JSON array of arrays
select distinct
  bounded_context,
  aggregate_type,
  aggregate_id
from {dead_letters}
where projection = ?1
  and aggregate_id in (
    select id
    from json_table(?2, '$[*]' columns (
      id varchar(255) character set utf8mb4 collate utf8mb4_bin path '$[0]'
    )) as wanted
  )
limit 18446744073709551615
