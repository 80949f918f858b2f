-- By stream, in order. The aggregate id is enough to find it.
create index "{dead_letters_name}_queue_idx"
    on {dead_letters} (projection, aggregate_id, position);
