-- Optional: for queries of your own by conversation. Events without a correlation id are not in
-- the index.
create index "{events_name}_correlation_id_idx"
    on {events} (correlation_id)
    where correlation_id is not null;
