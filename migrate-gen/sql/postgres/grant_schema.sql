-- To find the tables; not to create any.
grant usage on schema {schema} to {roles};
