-- The schema may be there already. Even then, the role that runs this needs the right to create one in
-- this database.
create schema if not exists {schema};
