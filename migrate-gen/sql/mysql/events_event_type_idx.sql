-- Optional: for queries of your own by event type, in the order of the log: InnoDB ends every
-- index with the primary key, so global_position need not be named.
create index `{events_name}_event_type_idx`
    on {events} (event_type);
