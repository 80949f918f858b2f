-- Every event of every stream. Rows are added and never changed.
--
-- There are no check constraints, because every append would pay for them: the event store writes
-- nothing else, and checks what it reads. utf8mb4_bin compares byte for byte, but for one thing: it
-- ignores spaces at the end, with which the event store lets no name end.
create table {events} (
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
    unique key `{events_name}_event_id_key` (event_id),

    -- One event for each version of a stream: of two writers who expect the same version, one
    -- fails. Also the index by which a stream is read. Four bytes a character make it 3068 bytes
    -- long, of the 3072 that InnoDB allows where rows are dynamic.
    unique key `{events_name}_stream_key`
        (bounded_context, aggregate_type, aggregate_id, aggregate_version)
) engine = InnoDB row_format = dynamic default charset = utf8mb4 collate = utf8mb4_bin;
