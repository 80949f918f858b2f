-- The channel on which the trigger that `migrate-gen --notify` writes says that events were
-- appended: it carries the table's oid, so that stores in one database keep apart.
select 'es_' || {events_oid}
