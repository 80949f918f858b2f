-- The tables of an event store, for MySQL 8.0.16 or MariaDB 10.6, or later.
-- Schema version 1.
--
-- Run this file once. Each statement that creates something commits by itself, so what stands
-- before one that fails stays. Run a second time, the file fails at its first "create table" and
-- changes nothing.
--
-- Every date and time is in UTC, whatever the time zone of the server or of a connection.

-- Every event of every stream. Rows are added and never changed.
--
-- There are no check constraints, because every append would pay for them: the event store writes
-- nothing else, and checks what it reads. utf8mb4_bin compares byte for byte, but for one thing: it
-- ignores spaces at the end, with which the event store lets no name end.
create table `events` (
    -- The order of the whole log. InnoDB gives no number twice, not even after a rollback or a
    -- restart; after a truncate it begins at 1 again.
    global_position bigint not null auto_increment primary key,

    -- The event's place in its stream: 1, 2, 3 and so on, without holes.
    aggregate_version bigint not null,

    -- When the event happened by the clock of its writer, in UTC. For people to read: the order of
    -- the log is global_position. A timestamp would end in 2038, and be shown in each connection's time zone.
    created_at datetime(6) not null,

    -- When the event was written, by the clock of the database, in UTC. Nobody sets it.
    recorded_at datetime(6) not null default (utc_timestamp(6)),

    -- The version of the payload's format.
    event_version int not null,

    -- The hash of aggregate_id, 0 to 16383, by which projections share the streams among their
    -- partitions.
    slot smallint not null,

    -- The event's own id, a UUID as 16 bytes. The writer chooses it, so that an append can be
    -- repeated without storing the event twice.
    event_id binary(16) not null,

    -- The stream: the events of one aggregate.
    bounded_context varchar(255) not null,
    aggregate_type varchar(255) not null,
    aggregate_id varchar(255) not null,

    -- What happened.
    event_type varchar(255) not null,

    -- The event as the application encoded it; the store does not look inside. The largest one is
    -- one byte too long for a mediumblob.
    payload longblob not null,

    -- What the application notes beside the payload, as JSON. Text, because MySQL's json type
    -- reorders the keys: what is read is what was written.
    metadata mediumtext null,

    -- The conversation the event belongs to, the event or command that caused it, and the
    -- distributed trace it was written in.
    correlation_id varchar(255) null,
    causation_id varchar(255) null,
    trace_id varchar(255) null,

    -- The order of these two keys matters: InnoDB checks them as they are written here, and names
    -- the first that refuses a row. So a repeated append is refused for its event ids and a lost
    -- race for its version, and the event store tells the two apart by the key's name.
    --
    -- An event id is stored once: a repeated append finds its events here.
    unique key `events_event_id_key` (event_id),

    -- One event for each version of a stream: of two writers who expect the same version, one
    -- fails. Also the index by which a stream is read. Four bytes a character make it 3068 bytes
    -- long, of the 3072 that InnoDB allows where rows are dynamic.
    unique key `events_stream_key`
        (bounded_context, aggregate_type, aggregate_id, aggregate_version)
) engine = InnoDB row_format = dynamic default charset = utf8mb4 collate = utf8mb4_bin;

-- Who is appending: one row for each connection that has appended.
--
-- InnoDB has no lock that ends with a transaction and that others can see. So before an append
-- draws positions, it writes into its own connection's row a position below all that it will draw.
-- A reader that finds such a row uncommitted reads no further than that.
--
-- Readers remove the rows that were not used for an hour.
create table `events_appenders` (
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

-- The projections, and into how many partitions each is divided. The number belongs to the
-- checkpoints: changed alone, it would make the partitions skip or repeat events.
create table `projections` (
    name varchar(255) not null primary key,
    partition_total int not null,

    -- Whether nothing is handled until somebody resumes it.
    is_paused boolean not null default false,

    -- How many partitions it will have once all have come to the barrier; null for no change.
    rescale_to int null,

    -- MySQL wants the names of such constraints to differ within a database.
    constraint `projections_partition_total_check`
        check (partition_total between 1 and 16384)
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;

-- How far each partition of a projection has come. A row is saved in the same transaction as the
-- projection's own changes, so the two always agree.
create table `projection_checkpoints` (
    projection varchar(255) not null,

    -- Which partition, counted from 0.
    partition_index int not null,

    -- The global position through which the partition has handled every event that is for it. In
    -- quotes, because MySQL's manual counts it among the key words where sql_mode has ignore_space.
    `position` bigint not null,

    -- When the position was last saved, in UTC.
    updated_at datetime(6) not null default (utc_timestamp(6)),

    -- Who may move the position: goes up with every claim, and with all that an operator changes,
    -- so that a worker with an older one cannot commit.
    epoch bigint not null default 0,

    -- Events at or before this position were handled before: the projection was reset.
    replay_until bigint not null default 0,

    -- The position does not move beyond this one: the projection is about to be given another
    -- number of partitions. Null for no such barrier.
    stop_at bigint null,

    -- Which worker has claimed the partition, and until when, in UTC; null for none.
    owner varchar(255) null,
    lease_until datetime(6) null,

    -- Which event after the position was tried and not handled, how often it was (an attempt counts
    -- before it is made), when the attempt began that has not ended yet, and what the event failed
    -- with last.
    attempts int not null default 0,
    failing_position bigint null,
    attempt_began_at datetime(6) null,
    last_error text null,

    primary key (projection, partition_index),
    constraint `projection_checkpoints_position_check`
        check (`position` >= 0),

    -- Not beside its column, where MySQL would read it and forget it.
    constraint `projection_checkpoints_projection_fkey`
        foreign key (projection) references `projections` (name)
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;

-- Which workers are there for a projection, so that each knows its share of the partitions. A row
-- that is not renewed is as good as none. There is no foreign key, which would make heartbeats wait
-- for operators.
create table `projection_workers` (
    projection varchar(255) not null,
    worker_id varchar(255) not null,

    -- Until when, in UTC.
    alive_until datetime(6) not null,

    primary key (projection, worker_id)
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;

-- Events that a projection has parked because they could not be handled, and the later ones of
-- their streams, which queue after them. Written by the one who has the partition's checkpoint locked.
-- There is no foreign key, which would make batches wait for operators.
create table `projection_dead_letters` (
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
    key `projection_dead_letters_queue_idx` (projection, aggregate_id, `position`)
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;

-- The version of these tables, by which the application sees on start that they are the ones it
-- was built for.
create table `events_schema` (
    version int not null primary key,

    -- When this file was run, in UTC.
    applied_at datetime(6) not null default (utc_timestamp(6))
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;

-- One row, and one only: a second run of this file is refused by the primary key.
insert into `events_schema` (version)
values (1);
