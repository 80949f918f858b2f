-- One row, and one only: a second run of this file is refused by the primary key.
insert into {schema_versions} (version)
values ({schema_version});
