-- Who is appending: one row for each connection that has appended.
--
-- InnoDB has no lock that ends with a transaction and that others can see. So before an append
-- draws positions, it writes into its own connection's row a position below all that it will draw.
-- A reader that finds such a row uncommitted reads no further than that.
--
-- Readers remove the rows that were not used for an hour.
create table {appenders} (
    connection_id bigint not null primary key,

    -- Goes up by one with each append, so that a reader sees whether the row was written again.
    seq bigint not null,

    -- A global position: those the append draws are higher.
    low_position bigint not null,

    -- The low_position the row was made with.
    first_low_position bigint not null,

    -- When the row was last written, in UTC.
    announced_at datetime(6) not null
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;
