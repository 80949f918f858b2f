-- How far each partition of a projection has come. A row is saved in the same transaction as the
-- projection's own changes, so the two always agree.
create table {checkpoints} (
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
    constraint `{checkpoints_name}_position_check`
        check (`position` >= 0),

    -- Not beside its column, where MySQL would read it and forget it.
    constraint `{checkpoints_name}_projection_fkey`
        foreign key (projection) references {projections} (name)
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;
