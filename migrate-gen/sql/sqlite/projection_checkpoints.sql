-- How far each partition of a projection has come. A row is saved in the same transaction as the
-- projection's own changes, so the two always agree.
create table "{checkpoints}" (
    projection text not null references "{projections}" (name),

    -- Which partition, counted from 0.
    partition_index integer not null,

    -- The global position through which the partition has handled every event that is for it.
    position integer not null check (position >= 0),

    -- When the position was last saved, in microseconds since 1970-01-01 00:00:00 UTC.
    updated_at integer not null,

    primary key (projection, partition_index)
) strict, without rowid;
