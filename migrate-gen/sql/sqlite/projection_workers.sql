-- Which workers are there for a projection, so that each knows its share of the partitions. A row
-- that is not renewed is as good as none. There is no foreign key, which would make heartbeats wait
-- for operators.
create table "{workers}" (
    projection text not null,
    worker_id text not null,

    -- Until when, in microseconds since 1970-01-01 00:00:00 UTC.
    alive_until integer not null,

    primary key (projection, worker_id)
) strict, without rowid;
