-- How far each partition of a projection has come. A row is saved in the same transaction as the
-- projection's own changes, so the two always agree.
create table {checkpoints} (
    projection text collate "C" not null references {projections} (name),

    -- Which partition, counted from 0.
    partition_index integer not null,

    -- The global position through which the partition has handled every event that is for it.
    position bigint not null check (position >= 0),

    -- When the position was last saved.
    updated_at timestamptz not null default now(),

    -- Who may move the position: goes up with every claim, and with all that an operator changes,
    -- so that a worker with an older one cannot commit.
    epoch bigint not null default 0,

    -- Events at or before this position were handled before: the projection was reset.
    replay_until bigint not null default 0,

    -- The position does not move beyond this one: the projection is about to be given another
    -- number of partitions. Null for no such barrier.
    stop_at bigint null,

    -- Which worker has claimed the partition, and until when; null for none.
    owner text collate "C" null,
    lease_until timestamptz null,

    -- Which event after the position was tried and not handled, how often it was (an attempt counts
    -- before it is made), when the attempt began that has not ended yet, and what the event failed
    -- with last.
    attempts integer not null default 0,
    failing_position bigint null,
    attempt_began_at timestamptz null,
    last_error text null,

    primary key (projection, partition_index)
) with (
    -- Few rows, each updated many times a second. No index holds a column that changes, so with
    -- room left in its page a new version of a row needs no index entry, and the old one is
    -- removed by the next to come by.
    fillfactor = 50,

    -- What is left over is for autovacuum: on every round, and without its usual pauses, because
    -- the table is small.
    autovacuum_vacuum_threshold = 100,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0
);
