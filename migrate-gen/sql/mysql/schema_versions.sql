-- The version of these tables, by which the application sees on start that they are the ones it
-- was built for.
create table {schema_versions} (
    version int not null primary key,

    -- When this file was run, in UTC.
    applied_at datetime(6) not null default (utc_timestamp(6))
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;
