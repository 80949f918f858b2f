-- What the start check looks at: the version the migration recorded, and whether somebody changed
-- the sequence or made the database with an encoding that cannot hold every name.
select
  (select max(version) from {schema_versions}) as version,
  seqcache as cache_size,
  seqincrement as increment,
  seqcycle as cycles,
  current_setting('server_encoding') as encoding
from pg_sequence
where seqrelid = to_regclass({sequence_name})
