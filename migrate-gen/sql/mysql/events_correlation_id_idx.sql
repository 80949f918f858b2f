-- Optional: for queries of your own by conversation. Events without a correlation id are in the
-- index too, because MySQL has no partial indexes.
create index `{events_name}_correlation_id_idx`
    on {events} (correlation_id);
