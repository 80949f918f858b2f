-- Optional: tells those who listen that there may be new events. The channel is "es_" and the oid of
-- the events table, so that every event store has its own.
create function {function}() returns trigger
language plpgsql
as $$
begin
    if exists (select from appended) then
        perform pg_notify('es_' || tg_relid, '');
    end if;
    return null;
end
$$;
