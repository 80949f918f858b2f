-- Optional: for queries of your own by time.
create index "{events}_created_at_idx"
    on "{events}" (created_at);
