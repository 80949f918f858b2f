-- One event for each version of a stream: of two writers who expect the same version, one fails.
-- Also the index by which a stream is read.
create unique index "{events}_stream_key"
    on "{events}" (bounded_context, aggregate_type, aggregate_id, aggregate_version);
