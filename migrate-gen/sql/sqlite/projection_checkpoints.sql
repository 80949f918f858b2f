-- How far each partition of a projection has come. A row is saved in the same transaction as the
-- projection's own changes, so the two always agree.
create table "{checkpoints}" (
    projection text not null references "{projections}" (name),

    -- Which partition, counted from 0.
    partition_index integer not null,

    -- The global position through which the partition has handled every event that is for it.
    position integer not null check (position >= 0),

    -- When the position was last saved, in microseconds since 1970-01-01 00:00:00 UTC.
    updated_at integer not null,

    -- Who may move the position: goes up with every claim, and with all that an operator changes,
    -- so that a worker with an older one cannot commit.
    epoch integer not null default 0,

    -- Events at or before this position were handled before: the projection was reset.
    replay_until integer not null default 0,

    -- The position does not move beyond this one: the projection is about to be given another
    -- number of partitions. Null for no such barrier.
    stop_at integer null,

    -- Which worker has claimed the partition, and until when, in microseconds as above; null for none.
    owner text null,
    lease_until integer null,

    -- Which event after the position was tried and not handled, how often it was (an attempt counts
    -- before it is made), when the attempt began that has not ended yet, and what the event failed
    -- with last.
    attempts integer not null default 0,
    failing_position integer null,
    attempt_began_at integer null,
    last_error text null,

    primary key (projection, partition_index)
) strict, without rowid;
