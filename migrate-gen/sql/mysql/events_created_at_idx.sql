-- Optional: for queries of your own by time, in UTC.
create index `{events_name}_created_at_idx`
    on {events} (created_at);
