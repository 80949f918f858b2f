-- The version of the schema, as its migration recorded it.
select max(version)
from {schema_versions}
