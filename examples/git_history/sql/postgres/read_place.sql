-- Where `create table` would make a table, null if nowhere, and whether it may; then who asks, and
-- in which schemas the connection looks.
select
    current_schema()::text,
    has_schema_privilege(current_schema(), 'create'),
    current_user::text,
    current_setting('search_path')
