-- The tables of an event store, for SQLite 3.37 or later. Schema version 1.
--
-- Run this file once. It has no "begin" and "commit", so that a migration tool can run it inside
-- a transaction of its own. Run a second time, it fails at its first statement.
--
-- The journal mode cannot be changed inside a transaction, so it is not set here: the application
-- sets WAL on its connection ("pragma journal_mode = wal").

-- Every event of every stream. Rows are added and never changed.
-- "strict" makes SQLite hold every column to its type.
create table "events" (
    -- The order of the whole log. "autoincrement" never gives a number twice, not even that of a
    -- deleted row, so a reader that has passed a position never finds another event there.
    global_position integer primary key autoincrement,

    -- The stream: the events of one aggregate. SQLite compares these byte for byte.
    bounded_context text not null,
    aggregate_type text not null,
    aggregate_id text not null,

    -- The event's place in its stream: 1, 2, 3 and so on, without holes.
    aggregate_version integer not null check (aggregate_version > 0),

    -- The hash of aggregate_id, by which projections share the streams among their partitions.
    slot integer not null check (slot between 0 and 16383),

    -- The event's own id, a UUID as 16 bytes. The writer chooses it, so that an append can be
    -- repeated without storing the event twice.
    event_id blob not null check (length(event_id) = 16),

    -- What happened, and the version of the payload's format.
    event_type text not null,
    event_version integer not null,

    -- The event as the application encoded it; the store does not look inside.
    payload blob not null,

    -- What the application notes beside the payload, as JSON.
    metadata text null,

    -- The conversation the event belongs to, the event or command that caused it, and the
    -- distributed trace it was written in.
    correlation_id text null,
    causation_id text null,
    trace_id text null,

    -- When the event happened by the clock of its writer, in microseconds since 1970-01-01
    -- 00:00:00 UTC. For people to read: the order of the log is global_position.
    created_at integer not null,

    -- When the event was written, by the clock of SQLite, in the same unit. Nobody sets it.
    recorded_at integer not null
        default (cast((julianday('now') - 2440587.5) * 86400000000 as integer))
) strict;

-- One event for each version of a stream: of two writers who expect the same version, one fails.
-- Also the index by which a stream is read.
create unique index "events_stream_key"
    on "events" (bounded_context, aggregate_type, aggregate_id, aggregate_version);

-- An event id is stored once: a repeated append finds its events here.
create unique index "events_event_id_key"
    on "events" (event_id);

-- The projections, and into how many partitions each is divided. The number belongs to the
-- checkpoints: changed alone, it would make the partitions skip or repeat events.
create table "projections" (
    name text primary key not null,
    partition_total integer not null check (partition_total between 1 and 16384),

    -- Whether nothing is handled until somebody resumes it.
    is_paused integer not null default 0 check (is_paused in (0, 1)),

    -- How many partitions it will have once all have come to the barrier; null for no change.
    rescale_to integer null check (rescale_to between 1 and 16384)
) strict, without rowid;

-- How far each partition of a projection has come. A row is saved in the same transaction as the
-- projection's own changes, so the two always agree.
create table "projection_checkpoints" (
    projection text not null references "projections" (name),

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

-- Which workers are there for a projection, so that each knows its share of the partitions. A row
-- that is not renewed is as good as none. There is no foreign key, which would make heartbeats wait
-- for operators.
create table "projection_workers" (
    projection text not null,
    worker_id text not null,

    -- Until when, in microseconds since 1970-01-01 00:00:00 UTC.
    alive_until integer not null,

    primary key (projection, worker_id)
) strict, without rowid;

-- Events that a projection has parked because they could not be handled, and the later ones of
-- their streams, which queue after them. Written by the one who has the partition's checkpoint locked.
-- There is no foreign key, which would make batches wait for operators.
create table "projection_dead_letters" (
    projection text not null,

    -- The global position of the event.
    position integer not null,

    -- The stream the event belongs to, and the hash of aggregate_id as in the events.
    bounded_context text not null,
    aggregate_type text not null,
    aggregate_id text not null,
    slot integer not null,

    -- How often it was tried, and what it failed with last; 0 and null for one that only queues.
    attempts integer not null,
    error text null,

    -- When it was parked, in microseconds since 1970-01-01 00:00:00 UTC.
    parked_at integer not null,

    primary key (projection, position)
) strict, without rowid;

-- By stream, in order. The aggregate id is enough to find it.
create index "projection_dead_letters_queue_idx"
    on "projection_dead_letters" (projection, aggregate_id, position);

-- The version of these tables, by which the application sees on start that they are the ones it
-- was built for.
create table "events_schema" (
    version integer primary key not null,

    -- When this file was run, in UTC.
    applied_at text default current_timestamp
) strict;

-- One row, and one only: a second run of this file is refused by the primary key.
insert into "events_schema" (version)
values (1);
