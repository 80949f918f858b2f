-- Optional: refuses a statement. 55000 is what PostgreSQL itself answers to a change of something
-- that cannot be changed, such as a view.
create function {function}() returns trigger
language plpgsql
as $$
begin
    raise exception using
        errcode = 'object_not_in_prerequisite_state',
        message = format(
            '%s refused: the table %I.%I is append-only',
            lower(tg_op), tg_table_schema, tg_table_name
        ),
        hint = 'To correct an event, append another one.';
end
$$;
