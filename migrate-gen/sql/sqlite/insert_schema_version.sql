insert into "{schema_versions}" (version)
values ({schema_version});
