-- Optional: for queries of your own by event type, in the order of the log.
create index "{events_name}_event_type_idx"
    on {events} (event_type, global_position);
