-- The tables of an event store, for PostgreSQL 15 or later. Schema version 1.
--
-- Run this file once. It has no "begin" and "commit", so that a migration tool can run it inside
-- a transaction of its own. Run a second time, it fails and changes nothing.

-- Every event of every stream. Rows are added and never changed.
--
-- There are no check constraints, because every append would pay for them: the event store writes
-- nothing else, and checks what it reads. collate "C" compares byte for byte, which is also the
-- fastest way. Columns of a fixed width come first, so that no row is padded between them.
create table "events" (
    -- The order of the whole log. The event store needs the sequence as it is here: "cache 1",
    -- for a session that took several numbers at once would write low ones after other sessions
    -- wrote higher ones, and "no cycle", for no number may be given twice.
    global_position bigint generated always as identity (
        sequence name "events_global_position_seq"
        cache 1
        no cycle
    ) primary key,

    -- The event's place in its stream: 1, 2, 3 and so on, without holes.
    aggregate_version bigint not null,

    -- When the event happened, by the clock of its writer. For people to read: the order of the log
    -- is global_position.
    created_at timestamptz not null,

    -- When the event was written, by the clock of the database. Nobody sets it.
    recorded_at timestamptz not null default clock_timestamp(),

    -- The version of the payload's format.
    event_version integer not null,

    -- The hash of aggregate_id, 0 to 16383, by which projections share the streams among their
    -- partitions.
    slot smallint not null,

    -- The event's own id. The writer chooses it, so that an append can be repeated without storing
    -- the event twice.
    event_id uuid not null,

    -- The stream: the events of one aggregate.
    bounded_context text collate "C" not null,
    aggregate_type text collate "C" not null,
    aggregate_id text collate "C" not null,

    -- What happened.
    event_type text collate "C" not null,

    -- The event as the application encoded it; the store does not look inside.
    payload bytea not null,

    -- What the application notes beside the payload.
    metadata json null,

    -- The conversation the event belongs to, the event or command that caused it, and the
    -- distributed trace it was written in.
    correlation_id text collate "C" null,
    causation_id text collate "C" null,
    trace_id text collate "C" null,

    -- One event for each version of a stream: of two writers who expect the same version, one
    -- fails. Also the index by which a stream is read.
    constraint "events_stream_key"
        unique (bounded_context, aggregate_type, aggregate_id, aggregate_version),

    -- An event id is stored once: a repeated append finds its events here.
    constraint "events_event_id_key"
        unique (event_id)
) with (
    -- By default autovacuum waits until the table has grown by a fifth, which is ever longer. It
    -- then has ever more pages to mark as visible to all, and in the end a huge table to freeze at
    -- once. Here it comes every 100,000 events, looks at the new pages only and freezes them right
    -- away: an event never changes, so the work is never wasted.
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_freeze_min_age = 0,

    -- The planner's statistics, likewise sooner than after a tenth. They are a sample of the whole
    -- table, so this one keeps a scale.
    autovacuum_analyze_threshold = 10000,
    autovacuum_analyze_scale_factor = 0.02
);

-- The projections, and into how many partitions each is divided. The number belongs to the
-- checkpoints: changed alone, it would make the partitions skip or repeat events.
create table "projections" (
    name text collate "C" primary key,
    partition_total integer not null check (partition_total between 1 and 16384),

    -- Whether nothing is handled until somebody resumes it.
    is_paused boolean not null default false,

    -- How many partitions it will have once all have come to the barrier; null for no change.
    rescale_to integer null check (rescale_to between 1 and 16384)
);

-- How far each partition of a projection has come. A row is saved in the same transaction as the
-- projection's own changes, so the two always agree.
create table "projection_checkpoints" (
    projection text collate "C" not null references "projections" (name),

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

-- Which workers are there for a projection, so that each knows its share of the partitions. A row
-- that is not renewed is as good as none. There is no foreign key, which would make heartbeats wait
-- for operators.
create table "projection_workers" (
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

-- Events that a projection has parked because they could not be handled, and the later ones of
-- their streams, which queue after them. Written by the one who has the partition's checkpoint locked.
-- There is no foreign key, which would make batches wait for operators.
create table "projection_dead_letters" (
    projection text collate "C" not null,

    -- The global position of the event.
    position bigint not null,

    -- The stream the event belongs to, and the hash of aggregate_id as in the events.
    bounded_context text collate "C" not null,
    aggregate_type text collate "C" not null,
    aggregate_id text collate "C" not null,
    slot smallint not null,

    -- How often it was tried, and what it failed with last; 0 and null for one that only queues.
    attempts integer not null,
    error text null,

    -- When it was parked.
    parked_at timestamptz not null,

    primary key (projection, position)
);

-- By stream, in order. The aggregate id is enough to find it.
create index "projection_dead_letters_queue_idx"
    on "projection_dead_letters" (projection, aggregate_id, position);

-- The version of these tables, by which the application sees on start that they are the ones it
-- was built for.
create table "events_schema" (
    version integer primary key not null,

    -- When this file was run.
    applied_at timestamptz not null default now()
);

-- One row, and one only: a second run of this file is refused by the primary key.
insert into "events_schema" (version)
values (1);
