-- The projections, and into how many partitions each is divided. The number belongs to the
-- checkpoints: changed alone, it would make the partitions skip or repeat events.
create table {projections} (
    name text collate "C" primary key,
    partition_total integer not null check (partition_total between 1 and 16384),

    -- Whether nothing is handled until somebody resumes it.
    is_paused boolean not null default false,

    -- How many partitions it will have once all have come to the barrier; null for no change.
    rescale_to integer null check (rescale_to between 1 and 16384)
);
