-- Which workers are there for a projection, so that each knows its share of the partitions. A row
-- that is not renewed is as good as none. There is no foreign key, which would make heartbeats wait
-- for operators.
create table {workers} (
    projection varchar(255) not null,
    worker_id varchar(255) not null,

    -- Until when, in UTC.
    alive_until datetime(6) not null,

    primary key (projection, worker_id)
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;
