-- Which workers are there for a projection, so that each knows its share of the partitions. A row
-- that is not renewed is as good as none. There is no foreign key, which would make heartbeats wait
-- for operators.
create table {workers} (
    projection text collate "C" not null,
    worker_id text collate "C" not null,

    -- Until when.
    alive_until timestamptz not null,

    primary key (projection, worker_id)
) with (
    fillfactor = 50,
    autovacuum_vacuum_threshold = 100,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0
);
