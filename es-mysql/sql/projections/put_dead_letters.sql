-- Parks events, or notes that they have failed again.
--
-- ?1 projection
-- ?2 a JSON array with an array for each: position, bounded context, aggregate type, aggregate id,
--    slot, attempts, error, microseconds since 1970
insert into {dead_letters} (
  projection, position, bounded_context, aggregate_type, aggregate_id, slot,
  attempts, error, parked_at
)
select
  ?1,
  position,
  bounded_context,
  aggregate_type,
  aggregate_id,
  slot,
  attempts,
  error,
  timestamp '1970-01-01 00:00:00' + interval parked_at microsecond
from json_table(?2, '$[*]' columns (
  position bigint path '$[0]',
  bounded_context varchar(255) character set utf8mb4 path '$[1]',
  aggregate_type varchar(255) character set utf8mb4 path '$[2]',
  aggregate_id varchar(255) character set utf8mb4 path '$[3]',
  slot smallint path '$[4]',
  attempts int path '$[5]',
  error text character set utf8mb4 path '$[6]',
  parked_at bigint path '$[7]'
)) as letter
on duplicate key update
  attempts = values(attempts),
  error = values(error)
