-- Events that a projection has parked because they could not be handled, and the later ones of
-- their streams, which queue after them. Written by the one who has the partition's checkpoint locked.
-- There is no foreign key, which would make batches wait for operators.
create table {dead_letters} (
    projection varchar(255) not null,

    -- The global position of the event.
    `position` bigint not null,

    -- The stream the event belongs to, and the hash of aggregate_id as in the events.
    bounded_context varchar(255) not null,
    aggregate_type varchar(255) not null,
    aggregate_id varchar(255) not null,
    slot smallint not null,

    -- How often it was tried, and what it failed with last; 0 and null for one that only queues.
    attempts int not null,
    error text null,

    -- When it was parked, in UTC.
    parked_at datetime(6) not null,

    primary key (projection, `position`),

    -- By stream, in order. The aggregate id is enough to find it, and all three names would make
    -- the key too long.
    key `{dead_letters_name}_queue_idx` (projection, aggregate_id, `position`)
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;
