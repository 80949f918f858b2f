-- Events that a projection has parked because they could not be handled, and the later ones of
-- their streams, which queue after them. Written by the one who has the partition's checkpoint locked.
-- There is no foreign key, which would make batches wait for operators.
create table {dead_letters} (
    projection text collate "C" not null,

    -- The global position of the event.
    position bigint not null,

    -- The stream the event belongs to, and the hash of aggregate_id as in the events.
    bounded_context text collate "C" not null,
    aggregate_type text collate "C" not null,
    aggregate_id text collate "C" not null,
    slot smallint not null,

    -- How often it was tried, and what it failed with last; 0 and null for one that only queues.
    attempts integer not null,
    error text null,

    -- When it was parked.
    parked_at timestamptz not null,

    primary key (projection, position)
);
