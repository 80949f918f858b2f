-- The tables of an event store, for PostgreSQL 15 or later. Schema version 1.
--
-- Run this file once. It has no "begin" and "commit", so that a migration tool can run it inside
-- a transaction of its own. Run a second time, it fails and changes nothing.

-- The schema may be there already. Even then, the role that runs this needs the right to create one in
-- this database.
create schema if not exists "Shop";

-- Every event of every stream. Rows are added and never changed.
--
-- There are no check constraints, because every append would pay for them: the event store writes
-- nothing else, and checks what it reads. collate "C" compares byte for byte, which is also the
-- fastest way. Columns of a fixed width come first, so that no row is padded between them.
create table "Shop"."order" (
    -- The order of the whole log. The event store needs the sequence as it is here: "cache 1",
    -- for a session that took several numbers at once would write low ones after other sessions
    -- wrote higher ones, and "no cycle", for no number may be given twice.
    global_position bigint generated always as identity (
        sequence name "Shop"."order_global_position_seq"
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
    constraint "order_stream_key"
        unique (bounded_context, aggregate_type, aggregate_id, aggregate_version),

    -- An event id is stored once: a repeated append finds its events here.
    constraint "order_event_id_key"
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

-- Optional: for queries of your own by event type, in the order of the log.
create index "order_event_type_idx"
    on "Shop"."order" (event_type, global_position);

-- Optional: for queries of your own by conversation. Events without a correlation id are not in
-- the index.
create index "order_correlation_id_idx"
    on "Shop"."order" (correlation_id)
    where correlation_id is not null;

-- Optional: for queries of your own by time.
create index "order_created_at_idx"
    on "Shop"."order" (created_at);

-- Optional: refuses a statement. 55000 is what PostgreSQL itself answers to a change of something
-- that cannot be changed, such as a view.
create function "Shop"."order_append_only"() returns trigger
language plpgsql
as $$
begin
    raise exception using
        errcode = 'object_not_in_prerequisite_state',
        message = format(
            '%s refused: the table %I.%I is append-only',
            lower(tg_op), tg_table_schema, tg_table_name
        ),
        hint = 'To correct an event, append another one.';
end
$$;

-- Optional: events cannot be changed or removed, not by the table's owner either, unless somebody
-- drops or disables this trigger. An insert does not fire it.
create trigger "order_append_only"
    before update or delete or truncate on "Shop"."order"
    for each statement
    execute function "Shop"."order_append_only"();

-- Optional: tells those who listen that there may be new events. The channel is "es_" and the oid of
-- the events table, so that every event store has its own.
create function "Shop"."order_notify"() returns trigger
language plpgsql
as $$
begin
    if exists (select from appended) then
        perform pg_notify('es_' || tg_relid, '');
    end if;
    return null;
end
$$;

-- Optional: a notification when an append commits, one for each transaction.
--
-- Its cost: a transaction that notifies takes a lock at commit that is one for all databases of
-- the server, so such transactions commit one after the other. An append-heavy workload was
-- measured at 4,900 transactions/s without this trigger and at 2,600 with it. And PostgreSQL does
-- not let a transaction that notifies be prepared (`prepare transaction`).
create trigger "order_notify"
    after insert on "Shop"."order"
    referencing new table as appended
    for each statement
    execute function "Shop"."order_notify"();

-- The projections, and into how many partitions each is divided. The number belongs to the
-- checkpoints: changed alone, it would make the partitions skip or repeat events.
create table "Shop"."shop_projections" (
    name text collate "C" primary key,
    partition_total integer not null check (partition_total between 1 and 16384),

    -- Whether nothing is handled until somebody resumes it.
    is_paused boolean not null default false,

    -- How many partitions it will have once all have come to the barrier; null for no change.
    rescale_to integer null check (rescale_to between 1 and 16384)
);

-- How far each partition of a projection has come. A row is saved in the same transaction as the
-- projection's own changes, so the two always agree.
create table "Shop"."ShopCheckpoints" (
    projection text collate "C" not null references "Shop"."shop_projections" (name),

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
create table "Shop"."shop_projection_workers" (
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
create table "Shop"."shop_projection_dead_letters" (
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
create index "shop_projection_dead_letters_queue_idx"
    on "Shop"."shop_projection_dead_letters" (projection, aggregate_id, position);

-- The version of these tables, by which the application sees on start that they are the ones it
-- was built for.
create table "Shop"."order_schema" (
    version integer primary key not null,

    -- When this file was run.
    applied_at timestamptz not null default now()
);

-- One row, and one only: a second run of this file is refused by the primary key.
insert into "Shop"."order_schema" (version)
values (1);

-- Optional, from here on: the rights of the application's role, which must exist. They are what
-- the event store needs, and no more.

-- To find the tables; not to create any.
grant usage on schema "Shop" to "shop_app", "user";

-- To append and to read; not to change, remove or truncate. Positions are drawn without a right to
-- the sequence, and nobody writes one by hand: an event at a position that readers have passed
-- would never be seen.
grant
    select,
    insert (
        bounded_context, aggregate_type, aggregate_id, aggregate_version, slot, event_id,
        event_type, event_version, payload, metadata, correlation_id, causation_id, trace_id,
        created_at
    )
on "Shop"."order" to "shop_app", "user";

-- Appends and readers look at the last position that was drawn. This right does not draw one.
grant select on sequence "Shop"."order_global_position_seq" to "shop_app", "user";

-- To register projections; not to forget them.
grant select, insert, update on "Shop"."shop_projections" to "shop_app", "user";

-- To save how far they have come, to share the work, to park events; and to remove what is no longer
-- needed, such as the rows of partitions when a projection is given fewer.
grant select, insert, update, delete on "Shop"."ShopCheckpoints", "Shop"."shop_projection_workers", "Shop"."shop_projection_dead_letters" to "shop_app", "user";

-- To check on start that the tables are the right ones.
grant select on "Shop"."order_schema" to "shop_app", "user";
