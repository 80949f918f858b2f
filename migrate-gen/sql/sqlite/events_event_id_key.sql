-- An event id is stored once: a repeated append finds its events here.
create unique index "{events}_event_id_key"
    on "{events}" (event_id);
