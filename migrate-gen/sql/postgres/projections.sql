-- The projections, and into how many partitions each is divided. The number belongs to the
-- checkpoints: changed alone, it would make the partitions skip or repeat events.
create table {projections} (
    name text collate "C" primary key,
    partition_total integer not null check (partition_total between 1 and 16384)
);
