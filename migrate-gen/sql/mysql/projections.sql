-- The projections, and into how many partitions each is divided. The number belongs to the
-- checkpoints: changed alone, it would make the partitions skip or repeat events.
create table {projections} (
    name varchar(255) not null primary key,
    partition_total int not null,

    -- Whether nothing is handled until somebody resumes it.
    is_paused boolean not null default false,

    -- How many partitions it will have once all have come to the barrier; null for no change.
    rescale_to int null,

    -- MySQL wants the names of such constraints to differ within a database.
    constraint `{projections_name}_partition_total_check`
        check (partition_total between 1 and 16384)
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;
