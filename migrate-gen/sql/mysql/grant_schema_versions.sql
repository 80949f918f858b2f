-- To check on start that the tables are the right ones.
grant select on {schema_versions} to {roles};
